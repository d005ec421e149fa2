"""What the host collector measures: raw figures by psutil, and the readings they amount to."""
