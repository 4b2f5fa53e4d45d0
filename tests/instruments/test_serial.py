"""An instrument at a serial port: a pseudo-terminal stands for the cable."""

import os
import threading
import tty

import pytest

from instruments.transport import Disconnected, Silent, VisaLink


class Cable:
    """The far end of a serial cable, which answers each line with the next reply."""

    def __init__(self, *replies: bytes) -> None:
        self.far, near = os.openpty()
        tty.setraw(near)
        self.near = near
        self.resource = f"ASRL{os.ttyname(near)}::INSTR"
        self.heard: list[bytes] = []
        self._replies = list(replies)
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        line = b""
        while self._replies:
            try:
                line += os.read(self.far, 100)
            except OSError:
                return
            if line.endswith(b"\r\n"):
                self.heard.append(line)
                line = b""
                os.write(self.far, self._replies.pop(0))

    def pull(self) -> None:
        os.close(self.far)
        os.close(self.near)


def test_a_line_goes_out_and_its_answer_comes_back() -> None:
    cable = Cable(b"HIOKI,BT4560,1,V1\r\n", b"+1.06571E-03,-1.2E-04,+3.68E+00\r\n")
    link = VisaLink(cable.resource, baud_rate=9600)
    try:
        assert link.ask("*IDN?", 5.0) == "HIOKI,BT4560,1,V1"
        assert link.ask(":FREQ 1000;*TRG;*WAI;:FETCH?", 5.0) == "+1.06571E-03,-1.2E-04,+3.68E+00"
        assert cable.heard == [b"*IDN?\r\n", b":FREQ 1000;*TRG;*WAI;:FETCH?\r\n"]
        with pytest.raises(Silent):
            link.ask("*IDN?", 0.2)
    finally:
        link.close()
        cable.pull()


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(Disconnected, match="nowhere"):
        VisaLink("ASRL/dev/nowhere::INSTR").ask("*IDN?", 1.0)
