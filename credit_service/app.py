"""The ASGI application: settings in, routes out. It refuses to start when a route declares no permission."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from credit_service import __version__
from credit_service.accounts.access_routes import router as access_router
from credit_service.accounts.authenticator import Authenticator
from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.disclosure import Disclosure
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.limits import RateLimit
from credit_service.accounts.oauth_routes import router as oauth_router
from credit_service.accounts.published_keys import PublishedKeys
from credit_service.accounts.quotas import DailyQuota
from credit_service.accounts.routes import router as accounts_router
from credit_service.accounts.rules import Audience
from credit_service.audit.accesses import Journal
from credit_service.audit.reader import LogReader
from credit_service.catalogue.loader import configured
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.routes import router as catalogue_router
from credit_service.deadlines.routes import router as deadlines_router
from credit_service.entities.lookup import Lookup, PastLookup
from credit_service.entities.routes import lookup_router
from credit_service.entities.routes import router as entities_router
from credit_service.entities.search import NameSearch
from credit_service.entities.search import router as search_router
from credit_service.evidence.vault import Vault
from credit_service.exchange.changes import router as changes_router
from credit_service.exchange.log import router as log_router
from credit_service.identity.personal import masked
from credit_service.measures.routes import router as measures_router
from credit_service.notifications import rendering
from credit_service.notifications.routes import router as notifications_router
from credit_service.objections.routes import router as objections_router
from credit_service.openapi import DESCRIPTION, CreditService
from credit_service.operations import PROBES, movable_clock, operations
from credit_service.platform.admission import Admission, BodyLimit, Patience
from credit_service.platform.clock import Clock, clock_of
from credit_service.platform.database import Database
from credit_service.platform.http import install_problem_handlers
from credit_service.platform.settings import Settings
from credit_service.platform.telemetry import Telemetry, configure_logging
from credit_service.records.imports.judges import JudgingProcess
from credit_service.records.imports.routes import IMPORT_PATH
from credit_service.records.imports.routes import router as imports_router
from credit_service.records.life_routes import router as life_router
from credit_service.records.lists import router as lists_router
from credit_service.records.proceedings.routes import router as proceedings_router
from credit_service.records.propagation.routes import router as propagation_router
from credit_service.records.proved_profile import ProvedProfiles
from credit_service.records.punctuality import router as punctuality_router
from credit_service.records.routes import router as records_router
from credit_service.repairs.routes import router as repairs_router
from credit_service.reports.routes import router as reports_router
from credit_service.supervision.classes.routes import router as classes_router
from credit_service.supervision.classes.run_routes import router as class_runs_router
from credit_service.supervision.classes.statistics import router as statistics_router
from credit_service.supervision.classes.tier_routes import router as tiers_router
from credit_service.supervision.inspections.public_routes import router as draws_router
from credit_service.supervision.inspections.routes import router as inspections_router
from credit_service.supervision.screening.routes import LARGEST_REQUEST as LARGEST_SCREENING
from credit_service.supervision.screening.routes import SCREENING_PATH
from credit_service.supervision.screening.routes import router as screening_router
from credit_service.supervision.screening.stream import STREAM_PATH, STREAMS
from credit_service.supervision.watchlists.routes import router as watchlists_router
from credit_service.workflows.statistics import router as workflow_statistics_router

STREAMED = re.compile(rf"{IMPORT_PATH}|{STREAM_PATH}|/v1/[a-z]+/[0-9a-fA-F-]+/attachments")
"""Paths whose bodies may be large: they are read as streams that count their own bytes."""

ROUTERS = (
    lookup_router,
    entities_router,
    search_router,
    records_router,
    life_router,
    lists_router,
    proceedings_router,
    repairs_router,
    objections_router,
    propagation_router,
    workflow_statistics_router,
    imports_router,
    catalogue_router,
    notifications_router,
    deadlines_router,
    measures_router,
    screening_router,
    watchlists_router,
    punctuality_router,
    classes_router,
    class_runs_router,
    tiers_router,
    statistics_router,
    draws_router,
    inspections_router,
    accounts_router,
    oauth_router,
    access_router,
    log_router,
    changes_router,
    reports_router,
)


def api_routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of the application, those of included routers too."""
    stack: list[Any] = list(app.routes)
    while stack:
        route = stack.pop(0)
        if isinstance(route, APIRoute):
            yield route
            continue
        nested = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None)
        if nested is None:
            raise RuntimeError(f"a route that cannot be checked for its permission: {route!r}")
        stack.extend(nested)


def _refuse_undeclared(app: FastAPI) -> None:
    undeclared = [
        f"{sorted(route.methods or ())} {route.path}" for route in api_routes(app) if declared_permission(route) is None
    ]
    if undeclared:
        raise RuntimeError("routes that declare no permission: " + ", ".join(undeclared))


def create_app(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    database: Database | None = None,
    catalogue: Catalogue | None = None,
) -> FastAPI:
    """The application. Without arguments it reads its settings from the environment, as a worker process does."""
    settings = settings or Settings()
    configure_logging(settings.log_level, settings.log_format, masked)
    app = CreditService(
        title="credit-service",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    state = app.state
    state.settings = settings
    state.clock = clock or clock_of(settings.clock_file)
    state.catalogue = catalogue or configured(settings)
    state.keys = KeyStore(settings.keys_directory)
    state.database = database
    state.rate_limit = RateLimit(settings.rate_limit)
    state.evidence = Vault(settings)
    rendering.texts()  # a text that is not as declared keeps the service from starting
    for router in (*ROUTERS, operations):
        app.include_router(router)
    if settings.clock_file is not None:
        app.include_router(movable_clock)
    _refuse_undeclared(app)
    install_problem_handlers(app)
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """What every request passes, from the inside out."""
    app.add_middleware(Disclosure, longest_seal_days=settings.seal_most_days)
    app.add_middleware(
        BodyLimit,
        most_bytes=settings.max_body_bytes,
        exempt=STREAMED,
        larger={SCREENING_PATH: max(settings.max_body_bytes, LARGEST_SCREENING)},
    )
    app.add_middleware(Patience, seconds=settings.body_seconds)
    app.add_middleware(Admission, most_in_flight=settings.most_in_flight, exempt=PROBES)
    app.add_middleware(Telemetry, log_reads=settings.log_reads)


def _connect(app: FastAPI) -> None:
    """Everything that needs a database; made inside the event loop that will use it."""
    state, settings = app.state, app.state.settings
    if state.database is None:
        if settings.database_url is None:
            raise RuntimeError("no database: start with `credit-service serve`, or set CREDIT_DATABASE_URL")
        state.database = Database(
            settings.database_url.get_secret_value(),
            role=settings.database_role,
            pool_size=settings.database_pool_size,
            statement_seconds=settings.statement_seconds,
        )
    state.authenticator = Authenticator(
        state.database, state.clock, state.keys, issuer=settings.base_url, providers=settings.oidc_issuers
    )
    state.published_keys = PublishedKeys(state.database, state.clock, state.keys)
    state.daily_quota = DailyQuota(state.database, default=settings.daily_subjects)
    state.journal = Journal(state.database, durable=settings.access_log_durable)
    state.import_executor = JudgingProcess(settings.catalogue_dir, settings.catalogue_supplement_dir)
    state.log_reader = LogReader(state.database)
    state.lookups = {audience: Lookup(state.database, state.clock, audience.value) for audience in Audience}
    state.screening_streams = asyncio.Semaphore(STREAMS)
    state.name_search = NameSearch(state.database)
    state.past_lookups = {audience: PastLookup(state.database, state.clock, audience.value) for audience in Audience}
    state.proved_profiles = ProvedProfiles(state.database, state.log_reader)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    given = app.state.database is not None
    _connect(app)
    if not given:
        # What the start made lives as long as the process; each full collection would look through all of it (140 ms).
        gc.collect()
        gc.freeze()
    try:
        yield
    finally:
        await app.state.journal.close()
        await app.state.authenticator.close()
        app.state.import_executor.shutdown(wait=False, cancel_futures=True)
        if not given:
            await app.state.database.close()
            app.state.database = None
