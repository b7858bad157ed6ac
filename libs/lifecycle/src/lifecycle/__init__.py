"""The life of a process: it reads settings, logs, tells its health, runs its loops, and drains when asked to stop."""

from lifecycle.credentials import SharedSecret
from lifecycle.database_disk import DatabaseDisk
from lifecycle.health import Check, NotReadyError, Readiness, health_routes
from lifecycle.http import serve_http
from lifecycle.logs import configure_logging
from lifecycle.settings import ProcessSettings, load_settings
from lifecycle.stopping import StoppedError, until_stopped
from lifecycle.urls import BaseUrl, BrokerUrls, DatabaseUrl, Origins
from lifecycle.waiting import wait_for_any
from lifecycle.worker import Loop, run, run_worker

__all__ = [
    "BaseUrl",
    "BrokerUrls",
    "Check",
    "DatabaseDisk",
    "DatabaseUrl",
    "Loop",
    "NotReadyError",
    "Origins",
    "ProcessSettings",
    "Readiness",
    "SharedSecret",
    "StoppedError",
    "configure_logging",
    "health_routes",
    "load_settings",
    "run",
    "run_worker",
    "serve_http",
    "until_stopped",
    "wait_for_any",
]
