"""The simulated rack as a program, its cells, and the link that talks to it."""

import asyncio
import csv
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.rack import Trouble, populate, serve
from instruments.spectra import Aged, Replay, circuits, replays
from instruments.station import Measurement, Settings, Station, sweep_hz
from instruments.transport import Disconnected, Silent, Stopped, Transcript, VisaLink
from schemas.errors import Invalid, Unknown

ROOT = Path(__file__).parents[2]
frequencies = st.integers(1, 10_000).map(lambda tenths: tenths / 10)


def address(resource: str) -> tuple[str, int]:
    _, host, port, _ = resource.split("::")
    return host, int(port)


def test_the_program_says_where_its_instruments_are_and_they_answer() -> None:
    command = [sys.executable, "-m", "instruments.rack", "--cells", "2", "--time-scale", "0"]
    with subprocess.Popen(
        [*command, "--trouble", "102=reversed"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            resources = json.loads(program.stdout.readline())
            station = Station(
                resources["meter"],
                resources["switch"],
                settings=Settings(frequencies_hz=sweep_hz(1000.0, 100.0, 4)),
            )
            good, bad = station.diagnose({101: "A", 102: "B"}, "operator 7", 25.0)
            assert isinstance(good, Measurement)
            assert not isinstance(bad, Measurement)
        finally:
            program.terminate()


@pytest.mark.parametrize("arguments", [["--cells", "34"], ["--trouble", "101=tired"], ["--data", "no.csv"]])
def test_the_program_refuses_what_it_cannot_play(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "instruments.rack", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_room_is_entered_without_opening_visa() -> None:
    check = (
        "import sys, instruments.station, instruments.rack; print([m for m in sys.modules if 'visa' in m])"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_message_longer_than_the_input_buffer_is_dropped_as_a_whole() -> None:
    async with serve({}, time_scale=0) as rack:
        reader, writer = await asyncio.open_connection(*address(rack.meter_resource))
        writer.write(b"*CLS\r\n" + b":FREQ 10;" * 100 + b"*IDN?\r\n" + b"*ESR?;:FREQ?\r\n")
        assert await reader.readline() == b"32;1.00000E+03\r\n"
        writer.close()


async def test_a_link_writes_every_byte_down() -> None:
    async with serve({}, time_scale=0) as rack:
        transcript = Transcript()
        link = VisaLink(rack.switch_resource, name="switch", transcript=transcript)
        await asyncio.to_thread(link.tell, "*CLS")
        assert await asyncio.to_thread(link.ask, "*OPC?", 2.0) == "1"
        link.close()
    assert transcript.text() == 'switch> "*CLS\\r\\n"\nswitch> "*OPC?\\r\\n"\nswitch< "1\\r\\n"\n'


async def test_a_late_reply_never_answers_a_later_question() -> None:
    cells = populate(["A"])
    async with serve(cells, time_scale=1.0) as rack:
        rack.connect(101)
        link = VisaLink(rack.meter_resource)
        with pytest.raises(Silent):
            await asyncio.to_thread(link.ask, ":FREQ 4;*TRG;*WAI;:FETCH?", 0.05)
        await asyncio.sleep(0.8)  # by now the reply has come, to a connection that is gone
        assert "BT4560" in await asyncio.to_thread(link.ask, "*IDN?", 2.0)
        link.close()


async def test_a_link_says_when_there_is_nobody_or_the_resource_is_no_resource() -> None:
    async with serve({}, time_scale=0) as rack:
        gone = rack.meter_resource
    for resource in (gone, "nonsense"):
        with pytest.raises(Disconnected, match=resource):
            await asyncio.to_thread(VisaLink(resource).ask, "*IDN?", 1.0)


def test_a_stopped_link_sends_nothing() -> None:
    stop = threading.Event()
    stop.set()
    transcript = Transcript()
    with pytest.raises(Stopped):
        VisaLink("TCPIP::127.0.0.1::1::SOCKET", transcript=transcript, stop=stop).tell(":CLOS 101")
    assert transcript.text() == ""


@given(frequencies, st.sampled_from(circuits()))
def test_a_circuit_resists_and_falls_with_frequency(frequency_hz: float, aged: Aged) -> None:
    circuit = aged.circuit
    here, above = circuit.impedance(frequency_hz), circuit.impedance(1.1 * frequency_hz)
    assert here.real > above.real > circuit.r0_ohm > 0


def test_older_cells_have_a_larger_arc() -> None:
    young = [aged.circuit.r1_ohm for aged in circuits() if aged.soh_pct > 98]
    old = [aged.circuit.r1_ohm for aged in circuits() if aged.soh_pct < 85]
    assert max(young) < min(old)


@given(
    st.lists(
        st.tuples(frequencies, st.complex_numbers(max_magnitude=1.0)), min_size=1, unique_by=lambda p: p[0]
    )
)
def test_a_replay_gives_back_its_own_points(points: list[tuple[float, complex]]) -> None:
    replay = Replay.of(points)
    for frequency_hz, impedance in points:
        assert replay.impedance(frequency_hz) == pytest.approx(impedance)
    lowest = min(points, key=lambda p: p[0])[0]
    assert replay.impedance(1e-6) == pytest.approx(replay.impedance(lowest))


def test_files_without_spectra_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Unknown):
        replays(tmp_path / "missing.csv")
    empty = tmp_path / "empty.csv"
    empty.write_text("cell,temp_c,soc_pct,freq_hz,re_ohm,im_ohm\n")
    with pytest.raises(Unknown):
        replays(empty)
    for name, content in (("a.csv", "cell,temp_c\nA,25\n"), ("b.csv.gz", "not gzipped")):
        (tmp_path / name).write_text(content)
        with pytest.raises(Invalid):
            replays(tmp_path / name)


def test_a_small_file_of_spectra_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spectra.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", "temp_c", "soc_pct", "freq_hz", "re_ohm", "im_ohm"])
        writer.writerows(
            [["A", 25, 50, 10, 0.02, -0.001], ["A", 25, 50, 1, 0.03, -0.002], ["A", 15, 50, 1, 9, 9]]
        )
    assert replays(path) == {"A": Replay((1.0, 10.0), (0.03 - 0.002j, 0.02 - 0.001j))}


def test_a_rack_takes_no_more_than_it_has_room_for() -> None:
    with pytest.raises(Invalid):
        populate([str(n) for n in range(34)])
    with pytest.raises(Invalid):
        populate(["A"], troubles={102: Trouble.OPEN})
