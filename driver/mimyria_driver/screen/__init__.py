"""Full-screen view of a run, for `mimyria-driver watch`.

It reads `status.json` and `spectrum.h5` of a run folder and draws them; it never writes
there, and knows neither the driver's process nor its sockets.

    status.json ─► history ─┐
    spectrum.h5 ─► findings ┴► scene ─► sections, plot ─► layout ─► terminal ◄─ keys
"""

from mimyria_driver.screen.app import show_once, watch_screen

__all__ = ["show_once", "watch_screen"]
