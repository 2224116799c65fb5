from django.http import HttpRequest, HttpResponse


def sandbox_inbox(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")
