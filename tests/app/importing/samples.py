"""Files in the form in which the tools themselves show them."""

SUPERVISORD = r"""
; As in supervisor's sample.conf, with programs switched on.
[unix_http_server]
file=/tmp/supervisor.sock   ; the path to the socket file
password=hunter2

[supervisord]
logfile=/tmp/supervisord.log ; main log file
loglevel=info
nodaemon=false
environment=SHARED="one, two",PLAIN=three

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix:///tmp/supervisor.sock

[program:web]
command=/usr/bin/env gunicorn -b "0.0.0.0:80%(process_num)02d" 'my app:main'
process_name=%(program_name)s_%(process_num)02d
numprocs=2
directory=/srv/%(program_name)s
umask=022
priority=20
autostart=true
startsecs=5
startretries=4
autorestart=unexpected
exitcodes=0,2
stopsignal=QUIT
stopwaitsecs=30
stopasgroup=true
killasgroup=true
user=nobody
redirect_stderr=true
stdout_logfile=/dev/stdout
stdout_logfile_maxbytes=0
stdout_syslog=true
environment=A="1",B='it''s',HOME="%(ENV_HOME)s",COST="${5}",P="100%%"

[program:db]
command=postgres -D %(here)s/data
priority=1
autorestart=true
stdout_logfile=/var/log/db.log
stdout_logfile_maxbytes=1MB
stdout_logfile_backups=3

[program:once]
command=migrate
autorestart=false
autostart=false

[program:helper]
command=helper

[group:tools]
programs=helper,missing
priority=5

[eventlistener:memmon]
command=memmon -a 200MB -m bob@example.com
events=TICK_60
"""

CIRCUS = """
[circus]
check_delay = 5
endpoint = tcp://127.0.0.1:5555

[watcher:webworker]
cmd = ../bin/chaussette --fd $(circus.sockets.webapp) chaussette.util.hello_app
use_sockets = True
warmup_delay = 0
numprocesses = 3
priority = 5
stdout_stream.class = FileStream
stdout_stream.filename = test.log
stdout_stream.max_bytes = 1048576
stdout_stream.backup_count = 4

[socket:webapp]
host = 127.0.0.1
port = 8888

[watcher:dbworker]
cmd = run --name "$(circus.env.HOME)/x" --id $(circus.wid)
args = --verbose
working_dir = /srv
uid = nobody
gid = 65534
rlimit_nofile = 500
rlimit_nproc = 5
graceful_timeout = 3
stop_signal = int
stop_children = true
max_retry = -1
copy_env = true
priority = 10

[watcher:shelled]
cmd = echo "$HOME" | cat
shell = true
respawn = false
autostart = false

[env]
CITY = Paris
[env:db*,other]
DBNAME = circus db
COST = ${5}

[plugin:flapping]
use = circus.plugins.flapping.Flapping
window = 30
"""

PROCFILE = """
# what runs
web: bundle exec rails server -p $PORT
worker:  QUEUE="${QUEUE:-default}" bundle exec rake jobs:work

not a process
clock-1: clock --say 'it\\'s' "time"
"""

PM2 = """
{
  apps : [{
    name               : 'HTTP-API',
    script             : 'http.js',
    exec_mode          : 'cluster',
    instances          : 'max',
    max_memory_restart : '260M',
    node_args          : ["--max-old-space-size=200", "--trace"],
    args               : "--port 80 --name 'two words'",
    watch              : true,
    ignore_watch       : ['node_modules'],
    env : { NODE_ENV : 'normal', COST: "${5}", N: 3, ON: true },
    env_production : { NODE_ENV : 'production' }
  }, {
    name               : 'Worker',
    script             : 'worker.py',
    instances          : 2,
    cwd                : '/srv',
    kill_timeout       : 3000,
    max_restarts       : 10,
    min_uptime         : '5s',
    exp_backoff_restart_delay : 100,
    stop_exit_codes    : [0, 3],
    log_type           : 'json',
    uid                : 'nobody',
    watch              : false
  }, {
    script             : './bin/server',
    interpreter        : 'none',
    autorestart        : false,
    restart_delay      : 250
  }],
  deploy : { production : { user : 'deployer' } }
}
"""

PROCESS_COMPOSE = """
version: "0.5"
log_level: info
log_configuration:
  rotation:
    max_size_mb: 1
    max_age_days: 3
    max_backups: 3
    compress: true
  disable_json: true
environment:
  - 'ABC=222'
  - 'HERE=${HOME}/x $$5'
shell:
  shell_command: "bash"
  shell_argument: "-c"

processes:
  process1:
    command: "./test_loop.bash ${PROC4} | tee $$HOME"
    availability:
      restart: "on_failure"
      backoff_seconds: 2
      max_restarts: 4
    depends_on:
      server:
        condition: process_healthy
      nginx:
        condition: process_healthy
      _process2:
        condition: process_completed_successfully
    shutdown:
      command: "sleep 2 && pkill -f process1"
      signal: 15
      timeout_seconds: 4
  _process2:
    command: "ls -lFa"
    working_dir: "/tmp"
    environment:
      EXIT_CODE: 2
      ON: true
  server:
    command: "python3 -m http.server 404{{.PC_REPLICA_NUM}}"
    is_tty: true
    replicas: 2
    namespace: web
    availability:
      restart: always
    readiness_probe:
      http_get:
        host: "127.0.0.1"
        port: "404{{.PC_REPLICA_NUM}}"
        scheme: "http"
        path: /health
      initial_delay_seconds: 5
      period_seconds: 2
      failure_threshold: 3
    liveness_probe:
      exec:
        command: "ps -ef | grep $HOME"
  kcalc:
    command: "kcalc"
    disabled: true
  main:
    command: "job"
    availability:
      restart: exit_on_failure
      exit_on_end: true
"""
