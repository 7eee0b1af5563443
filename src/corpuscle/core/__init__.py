"""What a bioimage is. Numpy only; nothing here touches a disk."""

from corpuscle.core.box import Box
from corpuscle.core.cut import Cut
from corpuscle.core.graph import Graph
from corpuscle.core.image import ArrayLike, Channel, Image
from corpuscle.core.length import Length, px, um
from corpuscle.core.record import Fact, Layer, Record, truth_of
from corpuscle.core.shapes import Shape, Shapes
from corpuscle.core.space import Space
from corpuscle.core.study import Licence, Person, Study
from corpuscle.core.table import Table
from corpuscle.core.transform import Affine, Displacement, Transform

__all__ = [
    "Affine",
    "ArrayLike",
    "Box",
    "Channel",
    "Cut",
    "Displacement",
    "Fact",
    "Graph",
    "Image",
    "Layer",
    "Length",
    "Licence",
    "Person",
    "Record",
    "Shape",
    "Shapes",
    "Space",
    "Study",
    "Table",
    "Transform",
    "px",
    "truth_of",
    "um",
]
