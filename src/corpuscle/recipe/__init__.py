"""Recipes as values, and how one is built and forecast."""

from corpuscle.recipe.build import build
from corpuscle.recipe.recipe import Found, Recipe, Source, configured

__all__ = ["Found", "Recipe", "Source", "build", "configured"]
