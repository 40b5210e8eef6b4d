"""Settings of the whole suite."""

from hypothesis import HealthCheck, settings

# A loaded machine is no fault of the code: time is judged by the scripts in bench/, not here.
settings.register_profile("plimsoll", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("plimsoll")
