"""Each driver against a dialogue as its manual describes it, and each table against the simulated rack."""

import asyncio
import math
import re
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.bt4560 import BT4560, INPUT_BUFFER_BYTES, Contact, Meter
from instruments.bt4560 import COMMANDS as METER_COMMANDS
from instruments.commands import Identity, Table
from instruments.measurement import sweep_hz
from instruments.rack import Box, MeterBox, Rack, SwitchBox, Timing, figures, populate
from instruments.sw1001 import COMMANDS as SWITCH_COMMANDS
from instruments.sw1001 import SW1001, Mainframe
from instruments.transport import Garbled, Refused, Silent
from schemas.errors import Invalid
from tests.instruments.script import script

FIELDS = {"rate": "MED", "range_ohm": 0.1, "average": 1, "frequency_hz": 1000.0, "slot": 1, "channel": 101}
SET_UP = (
    ":FUNC RV;:RANG 1E-02;:AUT OFF;:SAMP:RATE Z,SLOW;:SAMP:RATE V,SLOW;:SAMP:DEL:MODE WAVE;:LIM OFF"
    ";:ZERO:CROSS ON;:CALC:AVER 1;:ADJ:SLOP ON;:TRIG:SOUR EXT;:INIT:CONT ON;:MEAS:VAL 1;*ESR?"
)


def measured(reply: str) -> Contact:
    with script((":FREQ 1000;*TRG;*WAI;:FETCH?", reply)) as link:
        return BT4560(link).measure(1000.0).contact


def rack() -> Rack:
    return Rack(populate(["A", "B"]), timing=Timing(scale=0))


@pytest.mark.parametrize("table", [METER_COMMANDS, SWITCH_COMMANDS])
def test_every_command_fits_the_input_buffer(table: Table) -> None:
    for row in table.values():
        fields = {name for _, name, _, _ in Formatter().parse(row.template) if name}
        message = row.template.format(**{name: FIELDS[name] for name in fields})
        assert len(message.encode("ascii")) + len("\r\n") <= INPUT_BUFFER_BYTES


@pytest.mark.parametrize(("box", "table"), [(MeterBox, METER_COMMANDS), (SwitchBox, SWITCH_COMMANDS)])
async def test_the_rack_understands_every_row(box: type[MeterBox | SwitchBox], table: Table) -> None:
    instrument = box(rack(), "1")
    await instrument.answer("*CLS")
    for row in table.values():
        reply = await instrument.answer(row.template.format(**FIELDS))
        assert (reply is None) == ("?" not in row.template)
        assert await instrument.answer("*ESR?") == "0"
        assert await instrument.answer(":SYST:ERR?") == '0,"No error"'


def test_the_meter_is_set_up_in_two_messages() -> None:
    with script(("*RST;*CLS;*IDN?", "HIOKI,BT4560,171012345,V1.20"), (SET_UP, "0")) as link:
        identity = BT4560(link).set_up(rate="SLOW", range_ohm=0.01)
    assert identity == Identity("HIOKI", "BT4560", "171012345", "V1.20")


def test_a_refused_set_up_is_told() -> None:
    lines = (("*RST;*CLS;*IDN?", "HIOKI,BT4560,1,V1"), (SET_UP, "32"))
    with script(*lines) as link, pytest.raises(Refused, match="event status 32"):
        BT4560(link).set_up(rate="SLOW", range_ohm=0.01)


@pytest.mark.parametrize(
    ("reply", "contact"),
    [
        ("+1.06571E-03,-1.20000E-04,+3.68000E+00", Contact.GOOD),
        ("+1.06571E-03,-1.20000E-04,-3.68000E+00", Contact.REVERSED),
        ("+1.00000E+10,+1.00000E+10,+1.00000E+10", Contact.OPEN),
        ("+1.06571E-03,-1.20000E-04,+1.10000E+08", Contact.OPEN),
        ("+1.00000E+09,+1.00000E+09,+3.68000E+00", Contact.OVER_RANGE),
    ],
)
def test_the_contacts_are_read_from_the_figures(reply: str, contact: Contact) -> None:
    assert measured(reply) is contact


@pytest.mark.parametrize("reply", ["", "------", "1,2", "1,2,3,4", "+1E-3,nan,3.6", "+1E-3,inf,3.6", "a,b,c"])
def test_what_is_no_reading_is_garbled(reply: str) -> None:
    with pytest.raises(Garbled):
        measured(reply)


@given(
    figures_=st.tuples(*[st.floats(-0.1, 0.1)] * 2, st.floats(0.5, 5.0)), frequency_hz=st.floats(0.1, 1050.0)
)
def test_a_good_reading_is_read_to_its_last_digit(
    figures_: tuple[float, float, float], frequency_hz: float
) -> None:
    with script((f":FREQ {frequency_hz:g};*TRG;*WAI;:FETCH?", figures(*figures_))) as link:
        reading = BT4560(link).measure(frequency_hz)
    for got, wanted in zip((reading.real_ohm, reading.imag_ohm, reading.voltage_v), figures_, strict=True):
        assert math.isclose(got, wanted, rel_tol=1e-5)
    assert reading.contact is Contact.GOOD


def test_a_statement_names_an_instrument_as_people_do() -> None:
    assert (
        str(Identity.read("HIOKI,BT4560,123456789,V1.00")) == "HIOKI BT4560, serial 123456789, firmware V1.00"
    )


def test_the_time_out_follows_the_frequency() -> None:
    reply = "+1.06571E-03,-1.20000E-04,+3.68000E+00"
    with script((":FREQ 1000;*TRG;*WAI;:FETCH?", reply), (":FREQ 0.1;*TRG;*WAI;:FETCH?", reply)) as link:
        meter = BT4560(link, Meter(med_waves=2, delay_waves=1))
        meter.measure(1000.0, margin_s=1.0)
        meter.measure(0.1, margin_s=1.0)
    assert link.timeouts_s == pytest.approx([1.003, 31.0])


def test_a_sweep_takes_about_as_long_as_known_of_the_meter() -> None:
    assert sum(Meter().reading_s(f, "MED") for f in sweep_hz()) == pytest.approx(68, rel=0.05)
    assert sum(Meter().reading_s(f, "SLOW") for f in sweep_hz()) == pytest.approx(222, rel=0.05)


def test_a_silent_meter_is_silent() -> None:
    with script((":FREQ 1000;*TRG;*WAI;:FETCH?", None)) as link, pytest.raises(Silent):
        BT4560(link).measure(1000.0)


def test_a_restarted_meter_is_found_out() -> None:
    with script(("*ESR?", "128")) as link, pytest.raises(Refused):
        BT4560(link).check()


def test_zero_adjustment_and_release() -> None:
    with script((":ADJ? ALL", "0"), (":ADJ? SPOT", "1"), (":SYST:LOC", None)) as link:
        meter = BT4560(link)
        meter.zero_adjust()
        with pytest.raises(Refused):
            meter.zero_adjust(every_frequency=False)
        meter.release()


@pytest.mark.parametrize("frequency_hz", [0.09, 1051.0, math.nan])
def test_frequencies_out_of_reach_are_refused(frequency_hz: float) -> None:
    with script() as link, pytest.raises(Invalid):
        BT4560(link).check_frequencies((frequency_hz,))


def test_the_switch_is_opened_before_it_is_set_up() -> None:
    with script(
        ("*IDN?", "HIOKI,SW1001,1,V1"),
        ("*CLS;*ESR?", "0"),
        (":OPEN;*OPC?", "1"),
        (":SYST:MOD:WIRE:MODE 1,WIRE4;*OPC?", "1"),
        (":SYST:MOD:WIRE:MODE 2,WIRE4;*OPC?", "1"),
        (":SYST:MOD:WIRE:MODE 3,WIRE4;*OPC?", "1"),
    ) as link:
        assert SW1001(link).set_up().model == "SW1001"


def test_a_channel_closes_and_its_relay_is_counted() -> None:
    with script((":CLOS 202;*OPC?;*ESR?", "1;0"), (":SYST:MOD:COUN? 2", "5,17,3,0,0,0,0,0,0,0,0")) as link:
        switch = SW1001(link)
        switch.close(202)
        assert switch.relay_count(202) == 17


def test_a_refused_channel_is_told_in_the_switch_s_words() -> None:
    lines = ((":CLOS 311;*OPC?;*ESR?", "1;16"), (":SYST:ERR?", '-241,"Hardware missing"'))
    with script(*lines) as link, pytest.raises(Refused, match="Hardware missing"):
        SW1001(link).close(311)


@given(st.integers())
def test_only_channels_of_the_mainframe_are_closed(channel: int) -> None:
    if channel not in Mainframe().relays():
        with script() as link, pytest.raises(Invalid):
            SW1001(link).close(channel)


async def test_long_and_short_forms_in_any_case_mean_the_same() -> None:
    box = MeterBox(rack(), "1")
    for spelled in (":FREQ 10", ":FREQUENCY 10", "freq 10", "frequency 10"):
        await box.answer(":FREQ 1000")
        assert await box.answer(f"{spelled};:FREQ?") == "+1.00000E+01".removeprefix("+")
    await box.answer("*CLS;:FREQU 10")
    assert await box.answer("*ESR?;*ESR?") == "32;0"


async def test_without_wai_the_meter_answers_with_the_old_reading() -> None:
    shared = rack()
    shared.timing = Timing(scale=0.001)
    shared.connect(101)
    box = MeterBox(shared, "1")
    old = await box.answer(":FREQ 1000;*TRG;*WAI;:FETCH?")
    assert await box.answer(":FREQ 1;*TRG;:FETCH?") == old
    assert await box.answer("*WAI;:FETCH?") != old


async def test_a_relay_that_moves_during_a_reading_spoils_it() -> None:
    shared = rack()
    shared.timing = Timing(scale=0.01)
    shared.connect(101)
    box = MeterBox(shared, "1")
    reading = asyncio.create_task(box.answer(":FREQ 1;*TRG;*WAI;:FETCH?"))
    await asyncio.sleep(0)
    shared.connect(102)
    assert re.fullmatch(r"(\+1\.00000E\+10,?){3}", await reading or "")


@given(st.text(st.characters(codec="latin-1"), max_size=120))
def test_no_message_breaks_an_instrument(message: str) -> None:
    async def story() -> None:
        for box in (MeterBox(rack(), "1"), SwitchBox(rack(), "1")):
            await box.answer(message)
            assert isinstance(box, Box)
            await box.answer("*CLS")
            assert await box.answer("*ESR?") == "0"

    asyncio.run(story())
