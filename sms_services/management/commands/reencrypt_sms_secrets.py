"""``manage.py reencrypt_sms_secrets``: after a new first key, so that the old ones can be taken away."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models
from django.db.models.functions import Cast

from ...encryption import Secret, reencrypt
from ...exceptions import EncryptionKeyError
from ...fields import EncryptedTextField


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret anew with the first of the encryption keys. Safe to interrupt and to repeat, "
        "and while messages are being sent."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = failed = 0
        for model in apps.get_models():
            for field in model._meta.local_fields:
                if isinstance(field, EncryptedTextField):
                    changed, unreadable = _reencrypt_column(model, field)
                    done, failed = done + changed, failed + unreadable
        self.stdout.write(f"{done} secrets are encrypted with the first key.")
        if failed:
            raise CommandError(
                f"{failed} secrets cannot be decrypted with any key. Add the key that encrypted them and repeat."
            )


def _reencrypt_column(model: type[models.Model], field: EncryptedTextField) -> tuple[int, int]:
    """Returns how many secrets of a column were encrypted anew, and how many no key opens."""
    stored = model._base_manager.annotate(stored_token=Cast(field.name, models.TextField()))
    rows = stored.exclude(stored_token="").exclude(stored_token=None).values_list("pk", "stored_token")
    done = failed = 0
    for pk, token in rows.iterator(chunk_size=500):
        try:
            fresh = reencrypt(token)
        except EncryptionKeyError:
            failed += 1
            continue
        # Only if nobody has changed or wiped it meanwhile.
        done += stored.filter(pk=pk, stored_token=token).update(**{field.name: Secret(fresh)})
    return done, failed
