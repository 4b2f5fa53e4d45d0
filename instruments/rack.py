"""A rack of cells in software: an impedance meter and a relay mainframe, each on its own TCP port.

Both speak the dialect of their table of commands (long and short forms, `;` between commands, status
registers, an input buffer of 256 bytes) and share one row of cells, so what the meter reads depends on the
relay that is closed. Trouble can be put on any channel.
"""

import argparse
import asyncio
import json
import math
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from instruments.bt4560 import INPUT_BUFFER_BYTES, Meter, Rate
from instruments.spectra import Spectrum, circuits, replays
from instruments.sw1001 import Mainframe
from schemas.errors import Fault, Invalid

OPEN_FIGURE = 1e10
OVER_FIGURE = 1e9
CHECK_HZ = 1000.0
STEP_SHARE = 0.03
ANALYSIS_S, ANALYSIS_SPREAD_PCT, ANALYSIS_HALF_PCT = 10.0, 1.0, 1.6
"""How far a stepping contact jumps, relative to the cell's impedance at 1 kHz."""
COMMAND_ERROR, EXECUTION_ERROR, POWER_ON = 32, 16, 128
RATES: Mapping[str, Rate] = {"FAST": "FAST", "MED": "MED", "SLOW": "SLOW"}


class Trouble(StrEnum):
    """What can be wrong with a channel; those that strike do so at a random reading."""

    OPEN = "open"
    SENSE_OPEN = "sense-open"
    FLAKY = "flaky"
    REVERSED = "reversed"
    OVER_RANGE = "over-range"
    RETURN_CABLE = "return-cable"
    DRIFTING = "drifting"
    STEP = "step"
    SILENT = "silent"
    GARBAGE = "garbage"
    DISCONNECT = "disconnect"
    RESET = "reset"


class SwitchTrouble(StrEnum):
    """What can go wrong at the relay mainframe, once, at a random command."""

    SILENT = "silent"
    GARBAGE = "garbage"
    DISCONNECT = "disconnect"
    RESET = "reset"


@dataclass(frozen=True)
class RackCell:
    """One cell in the rack: its spectrum, open-circuit voltage, and what is wrong with its contacts."""

    code: str
    spectrum: Spectrum
    ocv_v: float = 3.68
    temperature_c: float = 25.0
    soc_pct: float = 50.0
    trouble: Trouble | None = None
    contact_ohm: float = 0.0
    soh_pct: float | None = None  # where it is known; an analyser has nothing to say without it


@dataclass(frozen=True)
class Timing:
    """Nominal times in seconds, and the factor all of them are scaled by; 0 answers at once."""

    scale: float = 1.0
    relay_s: float = 0.02

    async def wait(self, nominal_s: float) -> None:
        """Let `nominal_s` pass, scaled."""
        if nominal_s * self.scale > 0:
            await asyncio.sleep(nominal_s * self.scale)


class HangUp(Exception):
    """The instrument drops the connection."""


type Handler = Callable[[Sequence[str]], Awaitable[str | None]]


class Box:
    """One instrument's front: it splits messages into commands, matches both forms, keeps the registers."""

    maker, name = "HIOKI", "BOX"

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.events = POWER_ON
        self.errors: list[str] = []
        self._tree: list[tuple[re.Pattern[str], Handler]] = []
        self.on("*IDN?", self._identify)
        self.on("*CLS", self._clear)
        self.on("*ESR?", self._events)
        self.on("*OPC?", self._complete)
        self.on("*TST?", self._self_test)
        self.on(":SYSTem:ERRor?", self._error)

    def on(self, header: str, handler: Handler) -> None:
        """Answer `header`, whose capitals are its short form, with `handler`."""
        words = re.findall(r"[A-Z]+[a-z]*|\W", header)
        pattern = "".join(
            re.escape(word) if not word.isalpha() else f"(?:{short_form(word)}|{word.upper()})"
            for word in words
        )
        self._tree.insert(0, (re.compile(pattern), handler))  # the last word on a header counts

    async def answer(self, message: str) -> str | None:
        """Carry out one message and return the reply to all its questions, if it asks any."""
        replies = []
        for part in filter(None, (part.strip() for part in message.split(";"))):
            header, _, tail = part.partition(" ")
            arguments = [argument.strip().upper() for argument in tail.split(",")] if tail.strip() else []
            spelled = header.upper() if header[0] in "*:" else f":{header.upper()}"
            handler = next((handler for form, handler in self._tree if form.fullmatch(spelled)), None)
            if handler is None:
                self.fail(COMMAND_ERROR, '-113,"Undefined header"')
                continue
            try:
                reply = await handler(arguments)
            except (ValueError, IndexError, KeyError):
                self.fail(EXECUTION_ERROR, '-222,"Data out of range"')
                continue
            if reply is not None:
                replies.append(reply)
        return ";".join(replies) if replies else None

    def fail(self, event: int, error: str) -> None:
        """Set the bit of the event register and queue the error."""
        self.events |= event
        self.errors.append(error)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with one controller until it leaves."""
        overrun = False
        try:
            while True:
                try:
                    line = await reader.readuntil(b"\n")
                except asyncio.LimitOverrunError as error:
                    await reader.readexactly(error.consumed)
                    overrun = True
                    continue
                if overrun:
                    overrun = False
                    self.fail(COMMAND_ERROR, '-363,"Input buffer overrun"')
                    continue
                reply = await self.answer(line.decode("latin-1").strip())
                if reply is not None:
                    writer.write(reply.encode("latin-1") + b"\r\n")
                    await writer.drain()
        except (HangUp, OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _identify(self, _: Sequence[str]) -> str:
        return f"{self.maker},{self.name},{self.serial},SIMULATED"

    async def _clear(self, _: Sequence[str]) -> None:
        self.events = 0
        self.errors.clear()

    async def _events(self, _: Sequence[str]) -> str:
        events, self.events = self.events, 0
        return str(events)

    async def _complete(self, _: Sequence[str]) -> str:
        return "1"

    async def _self_test(self, _: Sequence[str]) -> str:
        return "0"

    async def _error(self, _: Sequence[str]) -> str:
        return self.errors.pop(0) if self.errors else '0,"No error"'


def short_form(word: str) -> str:
    """Return the capitals of a header word: FREQuency gives FREQ."""
    return "".join(letter for letter in word if letter.isupper())


class SwitchBox(Box):
    """The relay mainframe's side of the rack."""

    name = "SW1001"

    def __init__(self, rack: "Rack", serial: str) -> None:
        super().__init__(serial)
        self.rack = rack
        self.on(":CLOSe", self._close)
        self.on(":OPEN", self._open)
        self.on(":SYSTem:MODule:WIRE:MODE", self._accept)
        self.on(":SYSTem:MODule:SHIeld", self._accept)
        self.on(":SYSTem:MODule:DELay", self._accept)
        self.on(":SYSTem:MODule:COUNt?", self._count)
        self.on("*RST", self._open)

    async def answer(self, message: str) -> str | None:
        """Carry out one message, unless trouble strikes before or after."""
        rack = self.rack
        rack.switch_messages += 1
        trouble = rack.switch_trouble if rack.switch_messages == rack.switch_strike else None
        if trouble is SwitchTrouble.RESET:
            rack.connect(None)
            self.events |= POWER_ON
        reply = await super().answer(message)
        if trouble is SwitchTrouble.SILENT:
            await asyncio.Event().wait()
        if trouble is SwitchTrouble.DISCONNECT:
            raise HangUp
        return rack.garbage() if trouble is SwitchTrouble.GARBAGE and reply is not None else reply

    async def _close(self, arguments: Sequence[str]) -> None:
        channel = int(arguments[0])
        if channel not in self.rack.mainframe.relays():
            raise ValueError(channel)
        await self.rack.work(self.rack.timing.relay_s)
        self.rack.connect(channel)

    async def _open(self, _: Sequence[str]) -> None:
        await self.rack.work(self.rack.timing.relay_s)
        self.rack.connect(None)

    async def _accept(self, arguments: Sequence[str]) -> None:
        if not 1 <= int(arguments[0]) <= self.rack.mainframe.slots:
            raise ValueError(arguments[0])

    async def _count(self, arguments: Sequence[str]) -> str:
        slot = int(arguments[0])
        if not 1 <= slot <= self.rack.mainframe.slots:
            raise ValueError(slot)
        channels = range(100 * slot + 1, 100 * slot + 1 + self.rack.mainframe.channels)
        return ",".join(str(self.rack.relay_counts.get(channel, 0)) for channel in channels)


class MeterBox(Box):
    """The impedance meter's side of the rack."""

    name = "BT4560"
    settings = (
        ":RANGe",
        ":AUTorange",
        ":SAMPle:DELay:MODE",
        ":LIMiter",
        ":ZERO:CROSs",
        ":CALCulate:AVERage",
        ":ADJust:SLOPe",
        ":TRIGger:SOURce",
        ":INITiate:CONTinuous",
        ":MEASure:VALid",
        ":SYSTem:LOCal",
    )

    def __init__(self, rack: "Rack", serial: str) -> None:
        super().__init__(serial)
        self.rack = rack
        self._reset()
        for header in self.settings:
            self.on(header, self._accept)
        self.on(":RANGe", self._range)
        self.on(":FUNCtion", self._function)
        self.on(":FREQuency", self._frequency)
        self.on(":FREQuency?", self._frequency_now)
        self.on(":SAMPle:RATE", self._rate)
        self.on(":ADJust?", self._adjust)
        self.on(":FETCh?", self._fetch)
        self.on(":READ?", self._read)
        self.on("*TRG", self._trigger)
        self.on("*WAI", self._wait)
        self.on("*RST", self._restore)

    def _reset(self) -> None:
        self.function, self.frequency_hz, self.range_ohm = "RV", 1000.0, self.rack.meter.ranges_ohm[-1]
        self.rate: Rate = "MED"
        self._measuring: asyncio.Task[str] | None = None
        self._last = figures(OPEN_FIGURE, OPEN_FIGURE, OPEN_FIGURE)

    async def _restore(self, _: Sequence[str]) -> None:
        self._reset()

    async def _accept(self, _: Sequence[str]) -> None:
        return None

    async def _range(self, arguments: Sequence[str]) -> None:
        wanted = float(arguments[0])
        fitting = [full_ohm for full_ohm in self.rack.meter.ranges_ohm if wanted <= full_ohm]
        self.range_ohm = fitting[0]

    async def _function(self, arguments: Sequence[str]) -> None:
        if arguments[0] not in {"RV", "ZV", "R", "Z", "V"}:
            raise ValueError(arguments[0])
        self.function = arguments[0]

    async def _frequency(self, arguments: Sequence[str]) -> None:
        frequency_hz = float(arguments[0])
        if not self.rack.meter.low_hz <= frequency_hz <= self.rack.meter.high_hz:
            raise ValueError(frequency_hz)
        self.frequency_hz = frequency_hz

    async def _frequency_now(self, _: Sequence[str]) -> str:
        return f"{self.frequency_hz:.5E}"

    async def _rate(self, arguments: Sequence[str]) -> None:
        signal, rate = arguments
        if signal not in {"Z", "V"}:
            raise ValueError(signal)
        chosen = RATES[rate]
        if signal == "Z":
            self.rate = chosen

    async def _adjust(self, _: Sequence[str]) -> str:
        return "0"

    async def _trigger(self, _: Sequence[str]) -> None:
        """Start a reading; the next command does not wait for it."""
        self._measuring = asyncio.create_task(self._reading(self.rack.moves))

    async def _wait(self, _: Sequence[str]) -> None:
        if self._measuring is not None:
            measuring, self._measuring = self._measuring, None
            self._last = await measuring

    async def _fetch(self, _: Sequence[str]) -> str:
        """Return the latest finished reading, which without `*WAI` may be an old one."""
        if self._measuring is not None and self._measuring.done():
            await self._wait(())
        return self._last

    async def _read(self, _: Sequence[str]) -> str:
        await self._trigger(())
        await self._wait(())
        return self._last

    async def _reading(self, moves: int) -> str:
        await self.rack.work(self.rack.meter.reading_s(self.frequency_hz, self.rate))
        if self.rack.moves != moves:
            return self._shown(OPEN_FIGURE, OPEN_FIGURE, OPEN_FIGURE)
        return await self._probe()

    async def _probe(self) -> str:
        """Read the connected cell, as its contacts allow."""
        rack = self.rack
        cell = rack.cells.get(rack.closed) if rack.closed is not None else None
        if cell is None or cell.trouble in {Trouble.OPEN, Trouble.SENSE_OPEN}:
            return self._shown(OPEN_FIGURE, OPEN_FIGURE, OPEN_FIGURE)
        rack.readings += 1
        struck = rack.readings >= rack.strike
        impedance = cell.spectrum.impedance(self.frequency_hz) + cell.contact_ohm
        voltage = cell.ocv_v
        match cell.trouble:
            case Trouble.FLAKY if struck:
                rack.strike = rack.readings + int(rack.random.integers(1, 4))
                return self._shown(OPEN_FIGURE, OPEN_FIGURE, OPEN_FIGURE)
            case Trouble.OVER_RANGE | Trouble.RETURN_CABLE:
                return self._shown(OVER_FIGURE, OVER_FIGURE, voltage)
            case Trouble.REVERSED:
                voltage = -voltage
            case Trouble.DRIFTING:
                impedance += 0.02 * rack.readings * abs(impedance)
            case Trouble.STEP if struck and rack.readings > 1:
                impedance += STEP_SHARE * abs(cell.spectrum.impedance(CHECK_HZ))
            case Trouble.SILENT if struck:
                await asyncio.Event().wait()
            case Trouble.GARBAGE if struck:
                return rack.garbage()
            case Trouble.DISCONNECT if struck:
                raise HangUp
            case Trouble.RESET if struck:
                self._reset()
                self.events |= POWER_ON
        if abs(impedance) > 1.2 * self.range_ohm:
            return self._shown(OVER_FIGURE, OVER_FIGURE, voltage)
        spread = rack.noise * abs(impedance)
        impedance += complex(*rack.random.normal(0.0, 1.0, 2)) * spread / math.sqrt(2)
        return self._shown(impedance.real, impedance.imag, voltage)

    def _shown(self, resistance: float, reactance: float, voltage: float) -> str:
        """Return the figures in the shape of the chosen function."""
        if self.function.startswith("Z") and resistance < OVER_FIGURE:
            resistance, reactance = (
                math.hypot(resistance, reactance),
                math.degrees(math.atan2(reactance, resistance)),
            )
        shape = {"V": (voltage,), "R": (resistance, reactance), "Z": (resistance, reactance)}
        return figures(*shape.get(self.function, (resistance, reactance, voltage)))


class AnalyserBox(Box):
    """The fast analyser's side of the rack: right within a point or so, about 10 s a cell."""

    maker, name = "MEGURI", "FAST-ANALYSER"

    def __init__(self, rack: "Rack", serial: str) -> None:
        super().__init__(serial)
        self.rack = rack
        self.on(":ANALyse?", self._analyse)

    async def _analyse(self, _: Sequence[str]) -> str:
        """Say what the connected cell's state of health is, as its contacts and its troubles allow."""
        rack = self.rack
        await rack.work(ANALYSIS_S)
        cell = rack.cells.get(rack.closed) if rack.closed is not None else None
        if cell is None or cell.soh_pct is None:
            return "OPEN"
        match cell.trouble:
            case Trouble.OPEN | Trouble.SENSE_OPEN:
                return "OPEN"
            case Trouble.REVERSED:
                return "REVERSED"
            case Trouble.OVER_RANGE | Trouble.RETURN_CABLE:
                return "OVER"
            case Trouble.SILENT:
                await asyncio.Event().wait()
            case Trouble.GARBAGE:
                return rack.garbage()
            case Trouble.DISCONNECT:
                raise HangUp
        shown = max(cell.soh_pct + float(rack.random.normal(0.0, ANALYSIS_SPREAD_PCT)), 0.0)
        low, high = max(shown - ANALYSIS_HALF_PCT, 0.0), shown + ANALYSIS_HALF_PCT
        resistance = cell.spectrum.impedance(CHECK_HZ).real + cell.contact_ohm
        return f"{shown:.1f},{low:.1f},{high:.1f},{resistance:.5f},{cell.ocv_v:.3f}"


def figures(*values: float) -> str:
    """Write figures as the meter does: `+1.06571E-03`."""
    return ",".join(f"{value:+.5E}" for value in values)


@dataclass
class Rack:
    """The row of cells, the relays in front of it, and the two instruments' addresses."""

    cells: Mapping[int, RackCell]
    name: str = "rack"
    timing: Timing = field(default_factory=Timing)
    seed: int = 0
    noise: float = 2e-4
    meter: Meter = field(default_factory=Meter)
    mainframe: Mainframe = field(default_factory=Mainframe)
    closed: int | None = None
    moves: int = 0
    readings: int = 0
    strike: int = 0
    strike_within: int = 6
    switch_trouble: SwitchTrouble | None = None
    switch_strike: int = 0
    switch_messages: int = 0
    busy_s: float = 0.0
    relay_counts: dict[int, int] = field(default_factory=dict)
    meter_resource: str = ""
    switch_resource: str = ""
    analyser_resource: str = ""

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        for channel in self.cells:
            if channel not in self.mainframe.relays():
                raise Invalid("the switch has no channel {channel}", channel=channel)

    def connect(self, channel: int | None) -> None:
        """Close the relay of `channel` and open the one that was closed; None opens it only."""
        self.closed = channel
        self.moves += 1
        self.readings, self.strike = 0, int(self.random.integers(1, self.strike_within + 1))
        if channel is not None:
            self.relay_counts[channel] = self.relay_counts.get(channel, 0) + 1

    async def work(self, nominal_s: float) -> None:
        """Let an instrument take its time, and keep account of how long it really took."""
        start = time.perf_counter()
        await self.timing.wait(nominal_s)
        self.busy_s += time.perf_counter() - start

    def garbage(self) -> str:
        """Return twenty characters that are no figures."""
        return "".join(map(chr, self.random.integers(32, 127, 20))).replace(",", ".")

    def trip_switch(self, trouble: SwitchTrouble, after: int) -> None:
        """Let `trouble` strike the mainframe once, at its `after`-th message from now."""
        self.switch_trouble, self.switch_strike = trouble, self.switch_messages + after

    def resources(self) -> dict[str, str]:
        """Return the VISA resource names of the instruments."""
        return {
            "meter": self.meter_resource,
            "switch": self.switch_resource,
            "analyser": self.analyser_resource,
        }


@asynccontextmanager
async def serve(
    cells: Mapping[int, RackCell],
    *,
    name: str = "rack",
    time_scale: float = 1.0,
    seed: int = 0,
    noise: float = 2e-4,
    strike_within: int = 6,
    host: str = "127.0.0.1",
    meter_port: int = 0,
    switch_port: int = 0,
    analyser_port: int = 0,
    meter: Meter | None = None,
    mainframe: Mainframe | None = None,
) -> AsyncIterator[Rack]:
    """Put the instruments on the network for as long as the context lasts; port 0 takes a free one.

    `noise` is the standard deviation of a reading relative to |Z|, `time_scale` the factor on all times; a
    trouble that strikes does so within the first `strike_within` readings of a channel.
    """
    rack = Rack(
        cells,
        name=name,
        timing=Timing(scale=time_scale),
        seed=seed,
        noise=noise,
        strike_within=strike_within,
        meter=meter or Meter(),
        mainframe=mainframe or Mainframe(),
    )
    talks: set[asyncio.Task[None]] = set()

    async def listen(box: Box, port: int) -> tuple[asyncio.Server, str]:
        def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talk = asyncio.create_task(box.serve(reader, writer))
            talks.add(talk)
            talk.add_done_callback(talks.discard)

        server = await asyncio.start_server(greet, host, port, limit=INPUT_BUFFER_BYTES)
        return server, f"TCPIP::{host}::{server.sockets[0].getsockname()[1]}::SOCKET"

    async with AsyncExitStack() as stack:
        serial = f"SIM{seed:06d}"
        meter_server, rack.meter_resource = await listen(MeterBox(rack, serial), meter_port)
        stack.callback(meter_server.close)
        switch_server, rack.switch_resource = await listen(SwitchBox(rack, serial), switch_port)
        stack.callback(switch_server.close)
        analyser_server, rack.analyser_resource = await listen(AnalyserBox(rack, serial), analyser_port)
        stack.callback(analyser_server.close)
        try:
            yield rack
        finally:
            for talk in list(talks):
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)


def populate(
    codes: Sequence[str],
    *,
    data: Path | None = None,
    troubles: Mapping[int, Trouble] | None = None,
    mainframe: Mainframe | None = None,
) -> dict[int, RackCell]:
    """Fill the channels from the first on with cells of these codes.

    With `data` they replay the spectra measured in that file at 25 °C and 50 % state of charge, else they
    play the fitted circuits; either set is gone through again when it is used up. `troubles` go by channel.
    """
    relays = (mainframe or Mainframe()).relays()
    if len(codes) > len(relays):
        raise Invalid("{cells} cells do not fit {channels} channels", cells=len(codes), channels=len(relays))
    spectra: list[tuple[Spectrum, float | None]] = (
        [(aged.circuit, aged.soh_pct) for aged in circuits()]
        if data is None
        else [(replay, None) for replay in replays(data).values()]
    )
    cells = {
        channel: RackCell(code, spectra[index % len(spectra)][0], soh_pct=spectra[index % len(spectra)][1])
        for index, (channel, code) in enumerate(zip(relays, codes, strict=False))
    }
    for channel, trouble in (troubles or {}).items():
        if channel not in cells:
            raise Invalid("there is no cell on channel {channel}", channel=channel)
        cells[channel] = replace(cells[channel], trouble=trouble)
    return cells


def read_trouble(pair: str) -> tuple[int, Trouble]:
    """Read `CHANNEL=KIND`."""
    channel, _, kind = pair.partition("=")
    if not channel.isdecimal() or kind not in list(Trouble):
        raise Invalid(
            "{pair} is no trouble; write CHANNEL=KIND, with one of {kinds}",
            pair=pair,
            kinds=", ".join(Trouble),
        )
    return int(channel), Trouble(kind)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a simulated rack until interrupted, after one line of JSON with its resource names."""
    parser = argparse.ArgumentParser(
        prog="python -m instruments.rack",
        description="Simulate a BT4560, an SW1001 and a fast analyser in front of one rack of cells. Prints "
        'one line of JSON with their VISA resource names, {"meter": "TCPIP::...::SOCKET", "switch": ..., '
        '"analyser": ...}, and serves until interrupted; ended by SIGTERM it adds how long the instruments '
        "were at work.",
    )
    parser.add_argument("--cells", type=int, default=33, help="how many cells (default: 33)")
    parser.add_argument("--data", type=Path, help="CSV of measured spectra to replay, may be gzipped")
    parser.add_argument(
        "--trouble",
        action="append",
        default=[],
        metavar="CHANNEL=KIND",
        help=f"put trouble on a channel: {', '.join(Trouble)}",
    )
    parser.add_argument("--time-scale", type=float, default=1.0, help="factor on all times; 0: at once")
    parser.add_argument("--noise", type=float, default=2e-4, help="standard deviation relative to |Z|")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--meter-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--switch-port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--analyser-port", type=int, default=0, help="0 takes a free one")
    asked = parser.parse_args(argv)

    async def run() -> None:
        troubles = dict(map(read_trouble, asked.trouble))
        cells = populate(
            [f"CELL-{n:03d}" for n in range(1, asked.cells + 1)], data=asked.data, troubles=troubles
        )
        async with serve(
            cells,
            time_scale=asked.time_scale,
            noise=asked.noise,
            seed=asked.seed,
            host=asked.host,
            meter_port=asked.meter_port,
            switch_port=asked.switch_port,
            analyser_port=asked.analyser_port,
        ) as rack:
            sys.stdout.write(json.dumps(rack.resources()) + "\n")
            sys.stdout.flush()
            ended = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
            await ended.wait()
            sys.stdout.write(json.dumps({"busy_s": rack.busy_s}) + "\n")

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        return 0
    except (Fault, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
