from .acting import act_on_request, act_on_task, approve_selected
from .lists import copied, done, started, todo
from .requests import request_page
from .starting import start, start_list

__all__ = [
    "act_on_request",
    "act_on_task",
    "approve_selected",
    "copied",
    "done",
    "request_page",
    "start",
    "start_list",
    "started",
    "todo",
]
