"""The start of a company's agent: ACA-Py, the store, the service, the courier and the site, in one process.

We drive ACA-Py's conductor ourselves, in this order: its wallet, our own parts, its doors. So no message
comes in before it can be taken, and whatever fails ends the process with one line that says why. (Run as a
plain plugin, ACA-Py would log the failure of a start-up handler and report itself as ready.)
"""

import asyncio
import fcntl
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from agents.config import FILE, Config, keep_secret
from schemas.errors import Fault, Forbidden, Invalid, Unavailable

if TYPE_CHECKING:
    from acapy_agent.core.conductor import Conductor
    from acapy_agent.core.profile import Profile

    from agents.acapy.connections import Connections
    from agents.acapy.courier import Postman
    from agents.acapy.envelope import Post
    from agents.acapy.inbound import Letterbox
    from agents.dids import Registrar
    from agents.evidence import Fetcher, Vault
    from agents.harvest import Harvest
    from agents.identity import Branch, Identity, Safe
    from agents.links import Nearness, Reach
    from agents.ports import Store
    from agents.service import Agent
    from credentials.keys import Signer
    from governance.dids import Registry

LOG = logging.getLogger(__name__)

MOST_IN_AN_ENVELOPE = 16 << 20
STOP_S = 1.5
ROUND_S = 60.0
UNUSED = (
    "actionmenu",
    "coordinate_mediation",
    "endorse_transaction",
    "introduction",
    "issue_credential",
    "notification",
    "present_proof",
    "revocation_notification",
    "routing",
)
"""ACA-Py's protocols that we do not speak: nobody needs to be able to send us their messages."""


@dataclass(frozen=True)
class Running:
    """An agent that runs, and its parts."""

    config: Config
    agent: "Agent"
    store: "Store"
    vault: "Vault"
    postman: "Postman"
    letterbox: "Letterbox"
    connections: "Connections"
    fetcher: "Fetcher"
    profile: "Profile"
    harvest: "Harvest"
    identity: "Identity | None" = None
    registrar: "Registrar | None" = None


def run(config: Config) -> int:
    """Run a company's agent until it is told to stop; return the process's exit status."""
    os.umask(0o077)  # whatever is written, the books, the wallet and the files, is for the owner alone
    gc.disable()  # what is loaded at the start stays: looking for garbage in it costs a tenth of the time
    _log_to_stderr(config.log_level)
    try:
        return asyncio.run(_run(config))
    except Fault as fault:
        print(f"meguri: {fault}", file=sys.stderr)  # noqa: T201, for the person who started it
        return 1


async def _run(config: Config) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    begun = monotonic()
    async with _until(stop, agent(config)) as running:
        if running is None:
            return 0
        gc.collect()
        gc.freeze()  # what start-up left is not looked through again
        gc.enable()
        LOG.info("ready after %.1f s: %s", monotonic() - begun, config.site_url)
        await stop.wait()
        LOG.info("stopping")
    return 0


@asynccontextmanager
async def _until(stop: asyncio.Event, context: "Any") -> AsyncIterator["Running | None"]:
    """Enter a context unless told to stop meanwhile."""
    entering = asyncio.create_task(context.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((entering, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not entering.done():
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        yield None
        return
    running = entering.result()
    try:
        yield running
    finally:
        await context.__aexit__(None, None, None)


@asynccontextmanager
async def agent(config: Config) -> AsyncIterator[Running]:
    """Start a company's agent with its site, and stop it with the context."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_sole(config))
        _check_settings(config)
        _check_ports(config)
        config.save()
        conductor = await _open_acapy(config, stack)
        running = await _build(config, conductor, stack)
        await _open_doors(config, conductor, running, stack)
        yield running


# The folder and its secrets


def _sole(config: Config) -> "closing[Any]":
    """Make sure that this is the only process on the folder."""
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (config.home / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Unavailable("an agent is already running in {folder}", folder=config.home) from None
    return closing(file)


def _check_settings(config: Config) -> None:
    """Say now what would fail in some seconds."""
    from agents.roles import play
    from agents.store.engine import read_url

    play(config.roles)
    read_url(config.books_url)


def _check_ports(config: Config) -> None:
    """Say now which port is taken; ACA-Py would only log it and go on without."""
    for host, port, what in (
        (config.host, config.didcomm_port, "messages"),
        (config.host, config.web_port, "the site"),
        ("127.0.0.1", config.admin_port, "ACA-Py's admin API"),
    ):
        if not port:
            continue
        try:
            family, kind, _, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            raise Unavailable(
                "port {port} of {host}, for {what}, cannot be used: {reason}",
                port=port,
                host=host,
                what=what,
                reason=error.strerror or error,
            ) from error


def _raw_key() -> str:
    """Return a new raw wallet key, as askar spells it; raw, it needs no slow derivation at each start."""
    from aries_askar import Store as AskarStore  # type: ignore[import-untyped]

    return str(AskarStore.generate_raw_key(secrets.token_bytes(32)))


# ACA-Py


def _arguments(config: Config) -> list[str]:
    """Return ACA-Py's command line for our settings."""
    key = config.home / "wallet.key"
    arguments = {
        "--endpoint": config.endpoint,
        "--label": config.name,
        "--wallet-type": "askar",
        "--wallet-name": "meguri",
        "--wallet-key": keep_secret(key, _raw_key()),
        "--wallet-key-derivation-method": "RAW",
        "--max-message-size": str(MOST_IN_AN_ENVELOPE),
        "--plugin": "agents.acapy",
    }
    # In one word each: a name or a key may begin with a dash.
    line = [f"{option}={value}" for option, value in arguments.items()]
    line += ["--inbound-transport", "http", config.host, str(config.didcomm_port)]
    line += ["--outbound-transport", "http", "--no-ledger", "--auto-provision"]
    line += ["--auto-accept-requests", "--auto-accept-invites"]
    for name in UNUSED:
        line += ["--block-plugin", f"acapy_agent.protocols.{name}"]
    if config.admin_port:
        line += ["--admin", "127.0.0.1", str(config.admin_port)]
        line += [f"--admin-api-key={config.secret('admin.key')}"]
    return line


def _leave_out() -> None:
    """Put empty modules in the place of what ACA-Py imports and we never use.

    `nest_asyncio`: ACA-Py's loader of JSON-LD documents applies it on import, which puts Python classes in
    the place of asyncio's own in C, for the whole process. Only its JSON-LD proofs need that, to load
    documents from within the event loop. We make and check no such proofs.

    `prompt_toolkit`: asks on the terminal whether a ledger's terms are accepted. We have no ledger; importing
    it would take a tenth of the whole start and 9 MB. `markdown` shows those terms.

    The backends of the wallet type `kanon`, which bring PostgreSQL's driver: registering them is optional to
    ACA-Py, and a module that is None cannot be imported.
    """
    left_out: dict[str, dict[str, object]] = {
        "nest_asyncio": {"apply": lambda *_: None},
        "markdown": {"Markdown": None},
        "prompt_toolkit": {"prompt": None, "print_formatted_text": None},
        "prompt_toolkit.formatted_text": {"HTML": str},
    }
    for name, members in left_out.items():
        if name not in sys.modules:
            sys.modules[name] = module = types.ModuleType(name)
            vars(module).update(members)
    sys.modules.setdefault(
        "acapy_agent.database_manager.databases.backends.backend_registration",
        None,  # type: ignore[arg-type]
    )


async def _open_acapy(config: Config, stack: AsyncExitStack) -> "Conductor":
    """Open ACA-Py's wallet and load its plugins, ours among them; its doors stay shut."""
    _leave_out()
    from acapy_agent.admin.server import AdminResponder
    from acapy_agent.config import argparse as arguments
    from acapy_agent.config.default_context import DefaultContextBuilder
    from acapy_agent.core.conductor import Conductor
    from acapy_agent.core.error import ProfileError
    from acapy_agent.core.protocol_registry import ProtocolRegistry
    from acapy_agent.messaging.responder import BaseResponder

    from protocols.catalogue import MESSAGES

    logging.getLogger("acapy_agent.utils.tracing").disabled = True  # it gives itself a lower level
    parser = arguments.create_argument_parser(prog="aca-py")
    read = arguments.load_argument_groups(parser, *arguments.group.get_registered(arguments.CAT_START))
    # Not from ACA-Py's own environment variables: what is not in our settings is not set.
    settings = read(parser.parse_args(_arguments(config), env_vars={}))
    settings["ledger.read_only"] = True
    os.environ["ACAPY_HOME"] = str(config.home / "wallet")  # read when the wallet is opened, just below
    conductor = Conductor(DefaultContextBuilder(settings))
    stack.push_async_callback(_stop_acapy, conductor)
    try:
        await conductor.setup()  # type: ignore[no-untyped-call]
    except ProfileError as error:
        raise Forbidden(
            "the wallet in {folder} does not open with the key in {file}: {reason}",
            folder=config.home / "wallet",
            file=config.home / "wallet.key",
            reason=error.roll_up,
        ) from error
    if profile := conductor.root_profile:
        # ACA-Py gives its managers a way to send only where its admin API runs; connecting needs one always.
        responder = AdminResponder(profile, conductor.outbound_message_router)  # type: ignore[arg-type]
        profile.context.injector.bind_instance(BaseResponder, responder)  # type: ignore[type-abstract]
    known = set(conductor.context.inject(ProtocolRegistry).message_types)
    if missing := MESSAGES.keys() - known:
        raise Unavailable("ACA-Py has not loaded our plugin: {types} are unknown", types=len(missing))
    return conductor


async def _stop_acapy(conductor: "Conductor") -> None:
    manager: Any = conductor.inbound_transport_manager
    for transport in manager.running_transports.values() if manager else ():
        # ACA-Py only stops to listen; what peers keep open would go on reaching an agent that is gone.
        if transport.site is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(transport.site._runner.cleanup(), STOP_S / 3)  # noqa: SLF001
            transport.site = None
    if conductor.root_profile is not None:
        await conductor.stop(timeout=STOP_S)  # type: ignore[no-untyped-call]


# Our own parts


async def _build(config: Config, conductor: "Conductor", stack: AsyncExitStack) -> Running:
    """Open the store and wire the agent, between the wallet and the doors."""
    from agents.acapy.connections import Connections
    from agents.acapy.courier import Postman, Speller, Timing
    from agents.acapy.envelope import Post
    from agents.acapy.inbound import Letterbox
    from agents.acapy.keys import issuer
    from agents.evidence import Fetcher, Vault
    from agents.harvest import Harvest
    from agents.lookup import Lookup, Web
    from agents.role import Company
    from agents.roles import play
    from agents.service import Agent
    from agents.store import open_store
    from agents.words import translate

    profile = conductor.root_profile
    if profile is None:
        raise Unavailable("ACA-Py has not opened its wallet")
    roles = play(config.roles)
    identity, witness = await _identify(config, profile)
    signer = identity.signer if identity else await issuer(profile)
    company = Company(signer.did, config.name, config.roles)
    store = await asyncio.to_thread(open_store, config.books_url, company)
    stack.push_async_callback(asyncio.to_thread, store.close)
    await _check_books(store, config, signer.did)
    registrar = await _open_registry(store, identity, witness) if identity and witness else None

    vault = Vault(config.vault)
    post = Post(profile)
    stack.push_async_callback(post.close)
    postman = Postman(
        store,
        Speller(store, vault, config.blobs_url),
        post,
        translate,
        Timing(longest_s=config.longest_rest_s),
    )
    lookup = Lookup(
        Web(config.endpoint, config.registry), store, registry=config.registry, did_host=config.did_host
    )
    stack.push_async_callback(lookup.close)
    service = Agent(roles, store, postman, signer, lookup, config.site_url)
    reach = _reach(config, store, post)
    fetcher = Fetcher(store, vault, _reporter(postman), reach, longest_s=config.longest_rest_s)
    letterbox = Letterbox(service, store, vault, postman, fetcher)
    if identity is not None:
        _follow(identity, service)
    conductor.context.injector.bind_instance(Letterbox, letterbox)
    profile.context.injector.bind_instance(Letterbox, letterbox)
    connections = Connections(profile, service, letterbox, config.name)

    async def site(did: str) -> str:
        """Say where an issuer publishes: what its DID says of that."""
        return config.site_url if did == company.did else await lookup.site(did)

    harvest = Harvest(service, Web(config.endpoint), site, every_s=config.harvest_every_s)
    return Running(
        config,
        service,
        store,
        vault,
        postman,
        letterbox,
        connections,
        fetcher,
        profile,
        harvest,
        identity,
        registrar,
    )


# Who we are


async def _identify(config: Config, profile: "Profile") -> "tuple[Identity | None, Signer | None]":
    """Return the company's did:webvh where a registry is set, or was; and the witness's key, if it is ours.

    A company without is known by the did:key of its issuer key.
    """
    from agents.acapy.keys import WITNESS, AskarSafe, has_issuer, issuer

    safe = AskarSafe(profile)
    known = await safe.record() is not None
    if not config.registry and not known:
        return None, None
    from agents.identity import Branch, Identity
    from governance.dids import Registry

    if config.registry and not config.did_host:
        raise Invalid(
            "say which host stands in the registry's DIDs: MEGURI_DID_HOST, or did_host in {file}",
            file=config.home / FILE,
        )
    if not known and await has_issuer(profile):
        raise Forbidden(
            "this company is known as {did}; a registry is for one that begins",
            did=(await issuer(profile)).did,
        )
    if "governance-authority" in config.roles:
        witness = await issuer(profile, WITNESS)
        registry = Registry(config.did_host, witness.did)

        async def own() -> Registry:
            return registry

        return await Identity.begun(safe, own, "", site=config.site_url), witness
    if not known and not config.registration:
        raise Invalid(
            "say which name the authority has admitted: MEGURI_REGISTRATION, or registration in {file}",
            file=config.home / FILE,
        )
    office = Branch(config.registry, config.did_host) if config.registry else None
    return await _registered(config, safe, office), None


async def _registered(config: Config, safe: "Safe", office: "Branch | None") -> "Identity":
    """Return the company's DID, as soon as the registry has it; a start without it would be a half one."""
    from agents.identity import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, Identity

    async def about() -> "Registry":
        if office is None:
            raise Unavailable("the settings name no registry: set registry and did_host")
        return await office.about()

    pause = SHORTEST_PAUSE_S
    while True:
        try:
            identity = await Identity.begun(safe, about, config.registration, site=config.site_url)
            identity.office = office
            if not identity.standing.kept.lines:
                await identity.settle()
        except Unavailable as fault:
            LOG.error("not started yet: %s; tried again in %.0f s", fault, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        else:
            return identity


async def _open_registry(store: "Store", identity: "Identity", witness: "Signer") -> "Registrar":
    """Open the authority's registry of DIDs; its own DID is the first in it."""
    from agents.dids import Registrar

    registrar = Registrar(store, identity.standing.registry, witness)
    identity.office = registrar
    if not identity.standing.kept.lines:
        await identity.settle()
    return registrar


def _follow(identity: "Identity", service: "Agent") -> None:
    """Have the agent seal with the key that is in force."""

    def changed(signer: "Signer") -> None:
        service.signer = signer
        service.lookup.forget(signer.did)

    identity.changed = changed
    changed(identity.signer)


def _reach(config: Config, store: "Store", post: "Post") -> "Reach":
    """Say how near the host of a peer's file may be: public, or on its agent's own host as near as we are."""

    async def reach(peer: str, host: str) -> "frozenset[Nearness]":
        from agents.acapy.courier import Unroutable
        from agents.links import PUBLIC, around, host_of

        known = await store.read(lambda desk: desk.peer(peer))
        try:
            own = known is not None and host == host_of(await post.endpoint(known))
        except (Invalid, Unroutable):
            own = False
        return PUBLIC | await around(host_of(config.endpoint)) if own else PUBLIC

    return reach


async def _check_books(store: "Store", config: Config, did: str) -> None:
    """Make sure that the books belong to this wallet, and to the authority that we are told to trust."""
    owner = await store.read(lambda desk: desk.setting("owner"))
    if owner not in (None, "", did):
        raise Forbidden(
            "the database is {owner}'s, but the wallet in {folder} is {did}'s",
            owner=owner,
            folder=config.home,
            did=did,
        )
    trusted = await store.read(lambda desk: desk.authority())
    pinned = did if "governance-authority" in config.roles else config.authority
    if pinned and trusted and pinned != trusted:
        raise Forbidden(
            "the database trusts {trusted} as authority, not {pinned}", trusted=trusted, pinned=pinned
        )

    def note(desk: Any) -> None:
        desk.set("owner", did)
        if pinned and not trusted:
            desk.set("authority", pinned)

    if not owner or (pinned and not trusted):
        await store.write(note)


def _reporter(postman: "Postman") -> Callable[[Any, str], Awaitable[None]]:
    from agents.ports import Verdict

    async def report(awaited: Any, words: str) -> None:
        """Tell the peer that a file of theirs was refused; it belongs to no message that could be."""
        verdict = Verdict(
            f"file:{awaited.evidence.digest}",
            Invalid.code,
            "the file “{name}” is refused: {problem}",
            {"name": awaited.evidence.name, "problem": words},
        )
        postman.acknowledge(awaited.peer, [verdict])

    return report


async def _open_doors(
    config: Config, conductor: "Conductor", running: Running, stack: AsyncExitStack
) -> None:
    """Let messages, people and programs in, and take up what an earlier run left."""
    from agents.accounts import first_link, has_admin, local_token

    state = {"start": "the agent is starting"}
    await _open_site(config, running, state, stack)
    await conductor.start()
    await _listening(conductor)
    await running.postman.start()
    stack.push_async_callback(running.postman.stop)
    running.fetcher.start()
    stack.push_async_callback(running.fetcher.stop)
    await running.connections.start()
    stack.push_async_callback(running.connections.stop)
    if running.identity is not None:
        telling = asyncio.create_task(running.identity.run(running.store, config.site_url), name="identity")
        stack.push_async_callback(_end, telling)
    rounds = asyncio.create_task(_rounds(running), name="rounds")
    stack.push_async_callback(_end, rounds)
    if config.all_racks:
        from agents.gateways.bench import Bench

        bench = running.agent.works = Bench(running.agent, config.all_racks, config.journals)
        stack.push_async_callback(_end, asyncio.create_task(bench.run(), name="bench"))
    if "governance-authority" in config.roles:
        from agents.gateways.auditor import Auditor

        auditor = asyncio.create_task(Auditor(running.agent).run(), name="auditor")
        stack.push_async_callback(_end, auditor)
    stack.push_async_callback(running.letterbox.close)
    running.harvest.start()
    stack.push_async_callback(running.harvest.stop)
    await local_token(running.store, config.home)
    if not await has_admin(running.store):
        link = await first_link(running.store, config.site_url)
        print(f"To become the administrator, open {link}", flush=True)  # noqa: T201, for the one who starts it
    state.clear()


async def _rounds(running: Running) -> None:
    """See every minute to what comes due by itself: lists to sign anew, messages that may be judged now."""
    while True:
        try:
            await running.agent.renew()
            await running.letterbox.resume()
        except Fault as fault:
            LOG.warning("what is due by itself could not be done: %s", fault)
        except Exception:
            LOG.exception("what is due by itself could not be done")
        await asyncio.sleep(ROUND_S)


async def _listening(conductor: "Conductor") -> None:
    """Make sure that ACA-Py listens; it starts its transports in the background and logs what fails."""
    manager: Any = conductor.inbound_transport_manager
    await manager.task_queue.flush()
    if set(manager.running_transports) != set(manager.registered_transports):
        raise Unavailable("ACA-Py could not open its port for messages")


async def _open_site(
    config: Config, running: Running, state: Mapping[str, str], stack: AsyncExitStack
) -> None:
    """Open the company's own site."""
    from aiohttp import web

    from agents.web import site
    from agents.web.context import Context

    context = Context(
        agent=running.agent,
        vault=running.vault,
        invitations=running.connections,
        public_url=config.site_url,
        ready=lambda: dict(state),
        breakers=lambda: {reach.peer: reach.state for reach in running.postman.reaches()},
        version=_version(),
        vc_api=config.vc_api,
        harvest=running.harvest,
        registrar=running.registrar,
        identity=running.identity,
    )
    runner = web.AppRunner(site(context), access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, config.host, config.web_port).start()
    except OSError as error:
        raise Unavailable(
            "port {port} for the site cannot be used: {reason}", port=config.web_port, reason=error.strerror
        ) from error


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("meguri")
    except PackageNotFoundError:
        return ""


def _log_to_stderr(level: str) -> None:
    """Log one line per event. ACA-Py's own lines come from warnings on: below, they hold messages."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    logging.getLogger("acapy_agent.core.plugin_registry").setLevel("ERROR")  # it warns of what we leave out
    for name in (
        "acapy_agent",
        "acapy_agent.utils.tracing",
        "aiohttp",
        "asyncio",
        "alembic",
        "sqlalchemy",
        "pydid",
        "aries_askar",
    ):
        logging.getLogger(name).setLevel("WARNING")
