%% Runs scenarios on OTP's own supervisor, for a Python program at the other end of a pipe.
%%
%% A message is a list of scenarios in the external term format, and so is the answer: the list of
%% their reports. See scenario.py for what is in a scenario, and traces.py for what is in a report.
%%
%% The VM runs one scheduler, so the run queue is empty exactly when nobody but the driver could
%% go on: that is how a step is known to be over. Everything is recorded in one table, at once and
%% by whom it happens to; the watcher, which records deaths, has the highest priority and so is
%% earlier than any supervisor that hears of the same death.
-module(conformance).
-behaviour(supervisor).
-export([main/0]).
-export([init/1, start_supervisor/2, start_worker/3, start_dynamic/2, worker/4]).
-export([log/2]).

-define(TABLE, ?MODULE).

main() ->
    logger:set_primary_config(level, error),
    [logger:remove_handler(Id) || Id <- logger:get_handler_ids()],
    ok = logger:add_handler(?MODULE, ?MODULE, #{}),
    %% A report of a crash would ask the neighbours of the process, and wait for them.
    ok = logger:set_module_level(proc_lib, none),
    %% The first question for a module stores the answer where storing suspends the process, and
    %% a suspended process is in no queue.
    [logger:allow(error, Module) || Module <- [gen_server, proc_lib, supervisor]],
    ets:new(?TABLE, [named_table, public, ordered_set]),
    register(watcher, spawn_opt(fun() -> watcher(#{}) end, [{priority, max}])),
    serve(open_port({fd, 0, 1}, [binary, {packet, 4}, eof])).

serve(Port) ->
    receive
        {Port, {data, Message}} ->
            Reports = [run(Scenario) || Scenario <- binary_to_term(Message)],
            port_command(Port, term_to_binary(Reports)),
            serve(Port);
        {Port, eof} ->
            halt(0)
    end.

%% --- one scenario --------------------------------------------------------------------------

run({scenario, Root, Steps}) ->
    ets:delete_all_objects(?TABLE),
    Driver = self(),
    Host = spawn(fun() -> host(Driver, Root) end),
    Boot = receive {Host, Result} -> Result end,
    quiesce(),
    First = report([Boot]),
    Others = [report(step(Step)) || Step <- Steps],
    Host ! stop,
    quiesce(),
    [First | Others] ++ [report([])].

%% Whoever starts a supervisor is its parent; here the root's.
host(Driver, Root) ->
    process_flag(trap_exit, true),
    case start_supervisor(<<>>, Root) of
        {ok, Pid} ->
            Driver ! {self(), ok},
            receive
                stop -> exit(Pid, shutdown), receive {'EXIT', Pid, _} -> ok end;
                {'EXIT', Pid, _} -> receive stop -> ok end
            end;
        {error, Reason} ->
            Driver ! {self(), {start_failed, chain(Reason)}}
    end.

%% The actions of a step happen one after the other. With a supervisor held they all happen
%% before it looks at any of them.
step({step, Hold, Actions}) ->
    case Hold =/= none andalso lookup(Hold) of
        {supervisor, Pid} ->
            true = erlang:suspend_process(Pid),
            Places = [act(Action) || Action <- Actions],
            true = erlang:resume_process(Pid),
            quiesce(),
            [result(Place) || Place <- Places];
        _ ->
            Places = [act(Action) || Action <- Actions],
            [result(Place) || Place <- Places]
    end.

act(Action) ->
    Place = {result, erlang:unique_integer([monotonic])},
    ets:insert(?TABLE, {Place, pending}),
    case Action of
        {'end', Path, How} -> ets:insert(?TABLE, {Place, finish(lookup(Path), How)});
        {pause, Milliseconds} -> timer:sleep(Milliseconds), ets:insert(?TABLE, {Place, ok});
        {call, Path, Call} -> spawn(fun() -> ets:insert(?TABLE, {Place, call(Path, Call)}) end)
    end,
    quiesce(),
    Place.

result(Place) ->
    [{Place, Result}] = ets:take(?TABLE, Place),
    Result.

finish({worker, Pid}, killed) -> exit(Pid, kill), ok;
finish({worker, Pid}, How) -> Pid ! {'end', How}, ok;
finish(_, _) -> no_target.

report(Results) ->
    Events = [Event || [Event] <- ets:match(?TABLE, {{event, '_'}, '$1'})],
    ets:match_delete(?TABLE, {{event, '_'}, '_'}),
    Alive = [Path || [Path] <- ets:match(?TABLE, {{pid, '$1'}, '_'}), lookup(Path) =/= none],
    {report, Results, Events, Alive}.

%% Return when nobody has anything to do.
quiesce() ->
    erlang:yield(),
    Busy = erlang:statistics(total_run_queue_lengths) =/= 0,
    Stubborn = ets:match(?TABLE, {{stubborn, '$1'}, '_'}) =/= [],
    if
        Busy -> quiesce();
        Stubborn -> timer:sleep(1), quiesce();
        true -> ok
    end.

record(Event) ->
    ets:insert(?TABLE, {{event, erlang:unique_integer([monotonic])}, Event}).

%% The process at a path, if it is alive.
lookup(Path) ->
    case ets:lookup(?TABLE, {pid, Path}) of
        [{_, {Type, Pid}}] ->
            case is_process_alive(Pid) of
                true -> {Type, Pid};
                false -> none
            end;
        [] ->
            none
    end.

%% --- calls ---------------------------------------------------------------------------------

call(Path, Call) ->
    case ets:lookup(?TABLE, {pid, Path}) of
        [{_, {supervisor, Pid}}] ->
            try call(Path, Pid, Call)
            catch
                exit:{noproc, _} -> noproc;
                exit:{{shutdown, _}, _} -> ended;
                exit:{shutdown, _} -> ended
            end;
        _ ->
            noproc
    end.

call(Path, Pid, {start_child, Spec}) ->
    started(supervisor:start_child(Pid, child_spec(Path, Spec)));
call(_, Pid, {start_dynamic, Worker}) ->
    started(supervisor:start_child(Pid, [Worker]));
call(_, Pid, {restart_child, Name}) ->
    started(supervisor:restart_child(Pid, Name));
call(_, Pid, {terminate_child, Name}) ->
    answer(supervisor:terminate_child(Pid, Name));
call(Path, Pid, {terminate_dynamic, Name}) ->
    Child = case ets:lookup(?TABLE, {pid, join(Path, Name)}) of
        [{_, {_, Found}}] -> Found;
        [] -> spawn(fun() -> ok end)
    end,
    answer(supervisor:terminate_child(Pid, Child));
call(_, Pid, {delete_child, Name}) ->
    answer(supervisor:delete_child(Pid, Name));
call(_, Pid, which_children) ->
    [{id(Id), state(Child), Type} || {Id, Child, Type, _} <- supervisor:which_children(Pid)];
call(_, Pid, count_children) ->
    [Count || {_, Count} <- supervisor:count_children(Pid)].

started({ok, undefined}) -> ignored;
started({ok, Pid}) when is_pid(Pid) -> started;
started({error, {already_started, _}}) -> already_started;
started({error, {bad_combination, _}}) -> bad_spec;
%% The last element is the child's specification.
started({error, {Reason, Child}}) when element(1, Child) =:= child ->
    {start_failed, chain(Reason)};
started({error, Reason}) when Reason =:= already_present; Reason =:= not_found;
                              Reason =:= running; Reason =:= restarting;
                              Reason =:= simple_one_for_one ->
    Reason;
started({error, Reason}) -> {start_failed, chain(Reason)}.

answer(ok) -> ok;
answer({error, Reason}) -> Reason.

id(undefined) -> <<>>;
id(Id) -> Id.

state(Pid) when is_pid(Pid) -> pid;
state(State) -> State.

%% Which children failed, the one lowest in the tree last.
chain({shutdown, {failed_to_start_child, Id, Reason}}) -> [Id | chain(Reason)];
chain(_) -> [].

%% --- supervisors ---------------------------------------------------------------------------

start_supervisor(Path, Spec) ->
    Number = next(Path),
    record({start, Path, Number}),
    case supervisor:start_link(?MODULE, {Path, Number, Spec}) of
        {ok, Pid} -> record({up, Path, Number}), {ok, Pid};
        {error, Reason} -> record({start_failed, Path, Number}), {error, Reason}
    end.

init({Path, Number, {supervisor, _, _, _, Strategy, Intensity, Period, Auto, Children}}) ->
    watch(Path, Number, supervisor),
    put(path, Path),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period,
              auto_shutdown => Auto},
    Specs = case Strategy of
        simple_one_for_one ->
            [Template] = Children,
            Spec = child_spec(Path, Template),
            [Spec#{start := {?MODULE, start_dynamic, [Path]}}];
        _ ->
            [child_spec(Path, Child) || Child <- Children]
    end,
    {ok, {Flags, Specs}}.

child_spec(Parent, {worker, Name, Restart, Significant, Shutdown, Starts, Stop}) ->
    #{id => Name, restart => Restart, significant => Significant, shutdown => Shutdown,
      type => worker, start => {?MODULE, start_worker, [join(Parent, Name), Starts, Stop]}};
child_spec(Parent, {supervisor, Name, Restart, Significant, _, _, _, _, _} = Spec) ->
    #{id => Name, restart => Restart, significant => Significant, shutdown => infinity,
      type => supervisor, start => {?MODULE, start_supervisor, [join(Parent, Name), Spec]}}.

join(<<>>, Name) -> Name;
join(Parent, Name) -> <<Parent/binary, "/", Name/binary>>.

%% A logger's handler: it runs in the process that logs. OTP says in no other way why a
%% supervisor ends.
log(#{msg := {report, #{label := {supervisor, shutdown}, report := Report}}}, _) ->
    case lists:keyfind(reason, 1, Report) of
        {reason, reached_max_restart_intensity} -> record({gave_up, get(path), 0});
        _ -> ok
    end;
log(_, _) ->
    ok.

%% --- workers -------------------------------------------------------------------------------

start_dynamic(Parent, {worker, Name, _, _, _, Starts, Stop}) ->
    start_worker(join(Parent, Name), Starts, Stop).

%% The n-th start of a child does what the n-th word says; after the last one it is ok.
start_worker(Path, Starts, Stop) ->
    Number = next(Path),
    record({start, Path, Number}),
    Word = if Number > length(Starts) -> ok; true -> lists:nth(Number, Starts) end,
    Result = case Word of
        ignore -> ignore;
        error -> {error, boom};
        raise -> record({start_failed, Path, Number}), error(boom);
        _ -> proc_lib:start_link(?MODULE, worker, [Path, Number, Word, Stop])
    end,
    case Result of
        {ok, _} -> ok;
        ignore -> record({ignore, Path, Number});
        _ -> record({start_failed, Path, Number})
    end,
    Result.

worker(Path, Number, Word, Stop) ->
    process_flag(trap_exit, Stop =/= plain),
    watch(Path, Number, worker),
    case Word of
        die -> exit(boom);
        late -> [erlang:yield() || _ <- lists:seq(1, 10)];
        _ -> ok
    end,
    record({up, Path, Number}),
    proc_lib:init_ack({ok, self()}),
    case Word of
        {flash, How} -> finish(How);
        _ -> work(Path, Number, Stop)
    end.

work(Path, Number, Stop) ->
    receive
        {'end', How} -> finish(How);
        {'EXIT', _, Reason} -> asked(Path, Number, Stop, Reason)
    end.

asked(Path, Number, ignore, _) ->
    ets:insert(?TABLE, {{stubborn, self()}, true}),
    work(Path, Number, ignore);
asked(Path, Number, Stop, Reason) ->
    record({asked, Path, Number}),
    case Stop of
        heed -> exit(Reason);
        normal -> exit(normal);
        crash -> exit(boom)
    end.

finish(crashed) -> exit(boom);
finish(normal) -> exit(normal);
finish(shutdown) -> exit(shutdown);
finish(shutdown_for) -> exit({shutdown, reason});
finish(killed) -> exit(self(), kill), receive after infinity -> ok end.

%% --- what became of each start -------------------------------------------------------------

next(Path) ->
    ets:update_counter(?TABLE, {starts, Path}, 1, {{starts, Path}, 0}).

%% Called by a process about itself, before it can end.
watch(Path, Number, Type) ->
    Reference = make_ref(),
    watcher ! {watch, self(), Reference, Path, Number},
    receive Reference -> ok end,
    ets:insert(?TABLE, {{pid, Path}, {Type, self()}}).

watcher(Watched) ->
    receive
        {watch, Pid, Reference, Path, Number} ->
            Monitor = monitor(process, Pid),
            Pid ! Reference,
            watcher(Watched#{Monitor => {Path, Number}});
        {'DOWN', Monitor, process, Pid, Reason} ->
            {{Path, Number}, Rest} = maps:take(Monitor, Watched),
            ets:delete(?TABLE, {stubborn, Pid}),
            record({'end', Path, Number, class(Reason)}),
            watcher(Rest)
    end.

class(normal) -> normal;
class(shutdown) -> shutdown;
class({shutdown, _}) -> shutdown;
class(killed) -> killed;
class(_) -> crashed.
