"""Scenes, the subjects of dialogues. Each is a function of a Kit, registered in its module's SCENES."""

from scenes import errands, home, journeys, news, outings, people, work

PAIR = [s for m in (errands, home, journeys, news, outings, people, work) for s in m.PAIR]
# Scenes for three or more; those for `LARGE` groups involve everyone.
GROUP = [s for m in (errands, home, journeys, news, outings, people, work) for s in m.GROUP]
LARGE = [outings.party, outings.group_dinner, journeys.group_holiday, people.surprise_party]
