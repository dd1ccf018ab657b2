%% Erlang/OTP's own supervisors at the same work: otp:main([What, N]) prints JSON. CPU time is that
%% of all threads, without what it costs to read it, and after some of the same work to warm up.
%%
%% A supervisor keeps the times of all restarts within its period, and looks at each of them at
%% every restart: with many in one period that is most of the work. So there are two questions:
%% many restarts in one long period, and as many under several supervisors, few for each. Neither
%% is charged for the start and the stop of supervisors.
-module(otp).
-behaviour(supervisor).
-export([main/1, init/1, crasher/3, idler/0, last_idler/1, log/2]).

-define(FEW, 10).
-define(WARM, 300).
%% Readings of nothing, of which the middle one is what a reading costs.
-define(EMPTY, 15).

main([What, N]) ->
    process_flag(trap_exit, true),
    set_up_log(What),
    %% All threads are started with the machine.
    put(clocks, [opened(Name) || Name <- filelib:wildcard("/proc/self/task/*/schedstat")]),
    work(What, ?WARM),
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
    [{us, restarts(1, Count) / Count}];
work(What, Count) when What =:= "short_restarts"; What =:= "told_restarts" ->
    Rounds = Count div ?FEW,
    [{us, restarts(Rounds, ?FEW) / (Rounds * ?FEW)}];

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
    {ok, Supervisor} = supervisor:start_link(?MODULE, {group, self(), Size}),
    Last = receive {up, First} -> First end,
    Taken = spent(fun() ->
        exit(Last, kill),
        receive {up, _} -> ok end  % those before it were started before it
    end),
    stop(Supervisor),
    [{ms, Taken / 1000}].

%% --- how ---------------------------------------------------------------------------------------

%% The cost of so many crashes under each of so many supervisors, one supervisor after the other.
restarts(Supervisors, Count) ->
    Started = [crashing(Count) || _ <- lists:seq(1, Supervisors)],
    Taken = spent(fun() ->
        lists:foreach(fun({_, Crasher}) -> Crasher ! go, receive done -> ok end end, Started)
    end),
    lists:foreach(fun({Supervisor, _}) -> stop(Supervisor) end, Started),
    Taken.

crashing(Count) ->
    Starts = counters:new(1, []),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {crasher, self(), Starts, Count}),
    receive {up, Crasher} -> {Supervisor, Crasher} end.

stop(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Monitor, process, _, _} -> ok end.

%% Microseconds of CPU.
spent(Work) ->
    Taken = charged(Work),
    Empty = lists:sort([charged(fun() -> ok end) || _ <- lists:seq(1, ?EMPTY)]),
    max(0, Taken - lists:nth((?EMPTY + 1) div 2, Empty)).

charged(Work) ->
    Before = cpu(),
    Work(),
    cpu() - Before.

cpu() ->
    %% The kernel counts what a thread has run when it leaves the processor.
    receive after 1 -> ok end,
    lists:sum([ran(Clock) || Clock <- get(clocks)]) / 1000.

opened(Name) ->
    {ok, Clock} = file:open(Name, [read, raw, binary]),
    Clock.

ran(Clock) ->
    {ok, Text} = file:pread(Clock, 0, 64),
    binary_to_integer(hd(binary:split(Text, <<" ">>))).

used() ->
    [erlang:garbage_collect(Process) || Process <- processes()],
    erlang:memory(total).

init({crasher, Driver, Starts, Count}) ->
    {ok, {flags(one_for_one), [child(crasher, {?MODULE, crasher, [Driver, Starts, Count]})]}};
init(pool) ->
    {ok, {flags(simple_one_for_one), [child(idler, {?MODULE, idler, []})]}};
init({group, Driver, Size}) ->
    Others = [child(N, {?MODULE, idler, []}) || N <- lists:seq(1, Size - 1)],
    {ok, {flags(one_for_all), Others ++ [child(last, {?MODULE, last_idler, [Driver]})]}}.

flags(Strategy) ->
    #{strategy => Strategy, intensity => 1 bsl 40, period => 3600}.

child(Id, Start) ->
    #{id => Id, start => Start}.

crasher(Driver, Starts, Count) ->
    {ok, spawn_link(fun() ->
        counters:add(Starts, 1, 1),
        case counters:get(Starts, 1) of
            1 -> Driver ! {up, self()}, receive go -> exit(crash) end;
            Number when Number > Count -> Driver ! done, receive never -> ok end;
            _ -> exit(crash)
        end
    end)}.

idler() ->
    {ok, spawn_link(fun() -> receive never -> ok end end)}.

last_idler(Driver) ->
    {ok, spawn_link(fun() -> Driver ! {up, self()}, receive never -> ok end end)}.
