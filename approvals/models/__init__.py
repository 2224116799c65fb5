from .definitions import ProcessVersion
from .engines import EngineSms
from .events import Event
from .processes import Node, Process, Rule
from .requests import Request
from .starters import Starter
from .tasks import NodeVisit, Task
from .texts import NodeText, TextRecipient

__all__ = [
    "EngineSms",
    "Event",
    "Node",
    "NodeText",
    "NodeVisit",
    "Process",
    "ProcessVersion",
    "Request",
    "Rule",
    "Starter",
    "Task",
    "TextRecipient",
]
