"""The station as it is seen: what is on the racks, what is being measured, and the spectra as they come."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

from markupsafe import Markup
from pydantic import Field

from agents.ports import Desk, Sight, Spot
from agents.role import Job
from agents.roles.diagnosis import spectra
from agents.roles.station import DIAGNOSIS, analysers_of, by_of, care_of, load_of, places_of
from agents.web.views import View
from instruments.load import RELAYS, Load, Place
from instruments.picture import Trace, bode, nyquist

type State = Literal["free", "expected", "waiting", "measuring", "measured", "skipped"]


class ChannelView(View):
    """One channel: what is on it, and what came of it."""

    place: str = Field(description="As it is scanned")
    channel: int
    cell: str
    state: State
    words: str = Field(description="Why it was skipped")

    @property
    def short(self) -> str:
        """Return what tells cells of one pack apart."""
        return _short(self.cell)


def _short(cell: str) -> str:
    parts = cell.split("-")
    return parts[1] if len(parts) > 2 else cell[:6]  # noqa: PLR2004


class RackView(View):
    """One rack, and where it is."""

    rack: int
    busy: bool
    stage: str
    channel: int
    cell: str
    point: int
    points: int
    problem: str
    channels: list[ChannelView]


class SweepView(View):
    """A spectrum as far as it has come."""

    rack: int
    channel: int
    cell: str
    frequencies_hz: list[float]
    real_ohm: list[float]
    imag_ohm: list[float]
    whole: bool


class StationView(View):
    """The station now."""

    connected: bool = Field(description="Whether the agent was told of racks")
    running: bool
    done: int = Field(description="Cells on the racks with an outcome")
    total: int = Field(description="Cells on the racks")
    cell: str = Field(description="A scanned cell that waits for its channel")
    place: str = Field(description="A scanned channel that waits for its cell")
    temperature_c: str = Field(description="Of the last shift")
    room_c: float | None = Field(description="The room's, where it was recorded lately")
    soc_pct: str = Field(description="Of the last shift")
    by: str = Field(description="How the cells of the last shift were measured: sweep, fast or both")
    analysers: list[int] = Field(description="Racks with a fast analyser")
    see_to: list[str] = Field(description="What there is to see to, in words")
    racks: list[RackView]
    sweeps: list[SweepView]

    @property
    def free(self) -> bool:
        """Say whether anything can be scanned now."""
        return not all(rack.busy for rack in self.racks)

    @property
    def missed(self) -> list[ChannelView]:
        """Return the channels whose cells were skipped."""
        return [one for rack in self.racks for one in rack.channels if one.state == "skipped"]


def station_of(desk: Desk, sight: Sight) -> StationView:
    """Return the station as it is now."""
    load = load_of(desk)
    jobs = [job for job in desk.jobs() if job.job == DIAGNOSIS]
    running = [job for job in jobs if job.state in {"queued", "running"}]
    details = jobs[-1].details if jobs else {}
    here = care_of(desk).room_at(desk.now)
    spots = {spot.rack: spot for spot in sight.spots}
    return StationView(
        connected=bool(sight.spots),
        running=bool(running),
        done=len(load.outcomes),
        total=len(load.cells),
        cell=load.cell,
        place=load.shown(load.place) if load.place else "",
        temperature_c=str(details.get("temperature_c", "")),
        room_c=here.temperature_c if here else None,
        soc_pct=str(details.get("soc_pct") or ""),
        by=by_of(jobs[-1]) if jobs else "sweep",
        analysers=sorted(analysers_of(desk)),
        see_to=_see_to(desk, load),
        racks=[_rack(rack, load, spots.get(rack, Spot(rack)), running) for rack in range(1, load.racks + 1)],
        sweeps=[
            SweepView(
                rack=sweep.rack,
                channel=sweep.channel,
                cell=sweep.cell,
                frequencies_hz=list(sweep.frequencies_hz),
                real_ohm=[z.real for z in sweep.impedances_ohm],
                imag_ohm=[z.imag for z in sweep.impedances_ohm],
                whole=sweep.whole,
            )
            for sweep in sight.sweeps
            if load.cells.get(Place(sweep.rack, sweep.channel)) == sweep.cell
        ],
    )


def _rack(rack: int, load: Load, spot: Spot, running: Sequence[Job]) -> RackView:
    asked = {place for job in running for place in places_of(job)}
    problem = next((str(job.progress.get("problem") or "") for job in running), "")
    channels = []
    for channel in RELAYS:
        place = Place(rack, channel)
        cell = load.cells.get(place, "")
        words = load.outcomes.get(cell, "")
        state: State = "free" if place != load.place else "expected"
        if spot.job and spot.channel == channel and spot.stage not in {"measured", "skipped"}:
            state = "measuring"
        elif cell:
            state = "waiting" if cell not in load.outcomes else "skipped" if words else "measured"
        channels.append(
            ChannelView(place=load.shown(place), channel=channel, cell=cell, state=state, words=words)
        )
    return RackView(
        rack=rack,
        busy=any(place.rack == rack for place in asked),
        stage=spot.stage,
        channel=spot.channel,
        cell=spot.cell,
        point=spot.point,
        points=spot.points,
        problem=spot.problem or problem,
        channels=channels,
    )


def _see_to(desk: Desk, load: Load) -> list[str]:
    """Return what there is to see to about the cell that each rack measured last."""
    care = care_of(desk)
    last = {
        place.rack: cell
        for cell, words in load.outcomes.items()
        if not words and (place := load.where(cell)) is not None
    }
    words: dict[str, None] = {}
    for cell in last.values():
        for measured in spectra(desk, cell)[-1:]:
            words |= {warning.words: None for warning in care.warnings(measured)}
    return list(words)


def drawn(sweeps: Iterable[SweepView], titles: tuple[str, str]) -> tuple[Markup, Markup]:
    """Draw the spectra: Nyquist and Bode, each as SVG that holds nothing but what is escaped here."""
    return _drawn(
        tuple(
            Trace(
                _short(sweep.cell),
                tuple(sweep.frequencies_hz),
                tuple(map(complex, sweep.real_ohm, sweep.imag_ohm)),
                going=not sweep.whole,
            )
            for sweep in sweeps
        ),
        titles,
    )


@lru_cache(maxsize=4)  # many may look at once
def _drawn(traces: tuple[Trace, ...], titles: tuple[str, str]) -> tuple[Markup, Markup]:
    return Markup(nyquist(traces, titles[0])), Markup(bode(traces, titles[1]))
