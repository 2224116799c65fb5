from django.db import models


class Order(models.Model):
    phone_number = models.CharField(max_length=16)
    parcel = models.CharField(max_length=20)
    shipped = models.BooleanField(default=False)
