"""What all hosted training APIs share: one life of a job, one way to fail, one way to translate a recipe."""

from ftkit.backends.hosted.backend import HostedBackend
from ftkit.backends.hosted.endpoint import Endpoint
from ftkit.backends.hosted.field_support import Treatment, Treatments
from ftkit.backends.hosted.host import Host, Order, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.retry import Patience
from ftkit.results.plan import Quote

__all__ = [
    "Endpoint",
    "Host",
    "HostedBackend",
    "Order",
    "Patience",
    "Quote",
    "RemoteEvent",
    "RemoteFile",
    "RemoteJob",
    "Treatment",
    "Treatments",
]
