%% Erlang/OTP's own supervisors at the same work: otp:main([What, N]) prints JSON. CPU time is that
%% of all schedulers.
%%
%% A supervisor keeps the times of all restarts within its period, and looks at each of them at
%% every restart: with many in one period that is most of the work. So there are two questions:
%% many restarts in one long period, and as many under fresh supervisors, few for each.
-module(otp).
-behaviour(supervisor).
-export([main/1, init/1, crasher/2, idler/0, log/2]).

-define(FEW, 10).

main([What, N]) ->
    process_flag(trap_exit, true),
    set_up_log(What),
    Found = work(What, list_to_integer(N)),
    Texts = [io_lib:format("\"~s\": ~f", [Key, float(Value)]) || {Key, Value} <- Found],
    io:format("{~s}~n", [lists:join(", ", Texts)]),
    halt(0).

%% Reports of crashes and restarts: made and handed to a handler that drops them, or not made.
set_up_log("told_restarts") ->
    ok = logger:remove_handler(default),
    ok = logger:add_handler(drop, ?MODULE, #{});
set_up_log(_) ->
    ok = logger:set_primary_config(level, none).

log(_, _) -> ok.

%% --- restarts ----------------------------------------------------------------------------------

work("restarts", Count) ->
    [{us, spent(fun() -> restarts(Count) end) / Count}];
work(What, Count) when What =:= "short_restarts"; What =:= "told_restarts" ->
    Rounds = Count div ?FEW,
    Work = fun() -> lists:foreach(fun(_) -> restarts(?FEW) end, lists:seq(1, Rounds)) end,
    [{us, spent(Work) / (Rounds * ?FEW)}];

%% --- many children -----------------------------------------------------------------------------

work("parked", Count) ->
    Before = used(),
    {ok, Supervisor} = supervisor:start_link(?MODULE, pool),
    Start = spent(fun() ->
        lists:foreach(fun(_) -> {ok, _} = supervisor:start_child(Supervisor, []) end,
                      lists:seq(1, Count))
    end),
    Memory = used() - Before,
    Stop = spent(fun() -> stop(Supervisor) end),
    [{start, Start / Count}, {memory, Memory / Count}, {stop, Stop / Count}];

work("group", Size) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {group, Size}),
    {_, First, _, _} = lists:keyfind(1, 1, supervisor:which_children(Supervisor)),
    Taken = spent(fun() ->
        exit(First, kill),
        %% Answered when the restart is over: a supervisor does one thing at a time.
        until_all_run(Supervisor, First)
    end),
    stop(Supervisor),
    [{ms, Taken / 1000}].

until_all_run(Supervisor, Dead) ->
    case lists:keyfind(1, 1, supervisor:which_children(Supervisor)) of
        {_, Pid, _, _} when is_pid(Pid), Pid =/= Dead -> ok;
        _ -> until_all_run(Supervisor, Dead)
    end.

%% --- how ---------------------------------------------------------------------------------------

restarts(Count) ->
    Starts = counters:new(1, []),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {crasher, self(), Starts, Count}),
    receive done -> ok end,
    stop(Supervisor).

stop(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Monitor, process, _, _} -> ok end.

%% Microseconds of CPU.
spent(Work) ->
    Before = cpu(),
    Work(),
    cpu() - Before.

cpu() ->
    lists:sum([ran(Task) || Task <- filelib:wildcard("/proc/self/task/*/schedstat")]) / 1000.

ran(File) ->
    case file:read_file(File) of
        {ok, Text} -> binary_to_integer(hd(binary:split(Text, <<" ">>)));
        _ -> 0
    end.

used() ->
    [erlang:garbage_collect(Process) || Process <- processes()],
    erlang:memory(total).

init({crasher, Driver, Starts, Count}) ->
    {ok, {flags(one_for_one), [child(crasher, {?MODULE, crasher, [{Driver, Starts, Count}, self()]})]}};
init(pool) ->
    {ok, {flags(simple_one_for_one), [child(idler, {?MODULE, idler, []})]}};
init({group, Size}) ->
    {ok, {flags(one_for_all), [child(N, {?MODULE, idler, []}) || N <- lists:seq(1, Size)]}}.

flags(Strategy) ->
    #{strategy => Strategy, intensity => 1 bsl 40, period => 3600}.

child(Id, Start) ->
    #{id => Id, start => Start}.

crasher({Driver, Starts, Count}, _) ->
    {ok, spawn_link(fun() ->
        counters:add(Starts, 1, 1),
        case counters:get(Starts, 1) > Count of
            true -> Driver ! done, receive never -> ok end;
            false -> exit(crash)
        end
    end)}.

idler() ->
    {ok, spawn_link(fun() -> receive never -> ok end end)}.
