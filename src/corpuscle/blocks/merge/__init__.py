"""Five ways for what blocks answer to become one layer."""

from corpuscle.blocks.merge.bench import Answer, Bench, Each, Merge, Once, Round, Sink
from corpuscle.blocks.merge.claim import Claim
from corpuscle.blocks.merge.collect import Collect
from corpuscle.blocks.merge.paste import Paste
from corpuscle.blocks.merge.reduce import Reduce
from corpuscle.blocks.merge.stitch import Stitch

__all__ = [
    "Answer",
    "Bench",
    "Claim",
    "Collect",
    "Each",
    "Merge",
    "Once",
    "Paste",
    "Reduce",
    "Round",
    "Sink",
    "Stitch",
]
