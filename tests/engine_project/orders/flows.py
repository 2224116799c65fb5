"""An order in django-viewflow: its manager agrees, somebody of accounting pays, and anybody may file it."""

from viewflow import this
from viewflow.workflow import flow

from .viewflow_texts import text_assignees


def no_page(request):
    """Nobody opens a page in these tests."""


class OrderFlow(flow.Flow):
    process_title = "Order"

    start = flow.Start(no_page).Next(this.agree)
    agree = flow.View(no_page).Assign(username="manager").onCreate(text_assignees).Next(this.pay)
    pay = flow.View(no_page).Permission("auth.view_user").onCreate(text_assignees).Next(this.file)
    file = flow.View(no_page).onCreate(text_assignees).Next(this.end)
    end = flow.End()
