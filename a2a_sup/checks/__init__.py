"""What to ask a child, and how: checks, and the probes made of them.

A check is an async function of the child's context: it passes by returning, a text being a
message for people, and fails by raising :class:`~a2a_sup.CheckFailed` or returning False. It has
no time limit of its own: its probe cancels it, and then nothing of it is left.

Importing this is cheap: what a check needs is imported when it is first used.
"""

from a2a_sup.checks.a2a import A2AAgent as A2AAgent
from a2a_sup.checks.a2a import a2a_agent as a2a_agent
from a2a_sup.checks.call import Call as Call
from a2a_sup.checks.call import call as call
from a2a_sup.checks.command import CommandCheck as CommandCheck
from a2a_sup.checks.command import command as command
from a2a_sup.checks.heartbeat import Heartbeat as Heartbeat
from a2a_sup.checks.heartbeat import heartbeat as heartbeat
from a2a_sup.checks.http import HTTPCheck as HTTPCheck
from a2a_sup.checks.http import http as http
from a2a_sup.checks.mcp import MCPPing as MCPPing
from a2a_sup.checks.mcp import mcp_ping as mcp_ping
from a2a_sup.checks.memory import MemoryCheck as MemoryCheck
from a2a_sup.checks.memory import memory as memory
from a2a_sup.checks.probes import liveness as liveness
from a2a_sup.checks.probes import readiness as readiness
from a2a_sup.checks.probes import startup as startup
from a2a_sup.checks.tcp import TCPCheck as TCPCheck
from a2a_sup.checks.tcp import tcp as tcp
