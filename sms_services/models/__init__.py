from .audit import MessageExport, MessageReveal
from .batches import SmsBatch
from .messages import SmsAttempt, SmsMessage
from .pacing import ServicePace
from .sandbox import SandboxMessage
from .services import AlibabaCloudSms, AwsSnsSms, SandboxSms, SmsService, TwilioSms, current_service
from .templates import SmsTemplate, TemplateCode

__all__ = [
    "AlibabaCloudSms",
    "AwsSnsSms",
    "MessageExport",
    "MessageReveal",
    "SandboxMessage",
    "SandboxSms",
    "ServicePace",
    "SmsAttempt",
    "SmsBatch",
    "SmsMessage",
    "SmsService",
    "SmsTemplate",
    "TemplateCode",
    "TwilioSms",
    "current_service",
]
