%% CPU microseconds for each restart of a crashing child under OTP's one_for_one supervisor.
%%
%% The supervisor keeps the times of all restarts within its period, and looks at each of them at
%% every restart: with many in one period that is most of the work. So there are two questions:
%% many restarts in one long period, and as many under fresh supervisors, few for each.
-module(restarts).
-behaviour(supervisor).
-export([main/1, init/1, start_child/2]).

main([Count, Each]) ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    Total = list_to_integer(Count),
    Few = list_to_integer(Each),
    {_, _} = statistics(runtime),
    lists:foreach(fun(_) -> restarts(Few) end, lists:seq(1, Total div Few)),
    {_, Spent} = statistics(runtime),
    io:format("~f~n", [Spent * 1000 / Total]),
    halt(0).

restarts(Count) ->
    Starts = counters:new(1, []),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {self(), Starts, Count}),
    receive done -> ok end,
    unlink(Supervisor),
    exit(Supervisor, shutdown).

init(Argument) ->
    Flags = #{strategy => one_for_one, intensity => 1 bsl 40, period => 3600},
    {ok, {Flags, [#{id => crasher, start => {?MODULE, start_child, [Argument, self()]}}]}}.

start_child({Driver, Starts, Count}, _) ->
    {ok, spawn_link(fun() -> child(Driver, Starts, Count) end)}.

child(Driver, Starts, Count) ->
    counters:add(Starts, 1, 1),
    case counters:get(Starts, 1) > Count of
        true -> Driver ! done, receive never -> ok end;
        false -> exit(crash)
    end.
