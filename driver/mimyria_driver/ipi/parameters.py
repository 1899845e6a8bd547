"""Parameters: what i-PI says of itself in its INIT string, compared with ours."""

from __future__ import annotations

from collections.abc import Mapping

from mimyria.errors import SettingsError

__all__ = ["check_parameters", "require_no_batch"]


def check_parameters(parameters: Mapping[str, str], time_step: float) -> None:
    """Refuse an i-PI whose settings do not fit.

    Args:
        parameters: the `<parameters>` of the ffsocket, and what i-PI adds.
        time_step: fs between two requests, as our settings have it.

    Raises:
        SettingsError: another time step, or several configurations at once.
    """
    require_no_batch(parameters)
    text = parameters.get("dt_fs")
    if text is None:
        return
    try:
        agrees = abs(float(text) - time_step) <= 1e-9 * time_step
    except ValueError:
        agrees = False
    if not agrees:
        raise SettingsError(
            f"The time step is {time_step} fs in the settings, but '{text}' in the "
            "dt_fs of i-PI's <parameters>. Make the two agree."
        )


def require_no_batch(parameters: Mapping[str, str]) -> None:
    """Refuse batches: short ones are padded with copies that look like the rest.

    Raises:
        SettingsError: i-PI sends several configurations at once.
    """
    size = parameters.get("batch_size", "1")
    if size != "1":
        raise SettingsError(
            f"i-PI sends {size} configurations at once. Set <batch_size> of the "
            "ffsocket to 1."
        )
