from celery import Celery

app = Celery("orders")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()
