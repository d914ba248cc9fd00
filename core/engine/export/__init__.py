"""Writing a model in the formats of `core.exports`, each compared with the model before it counts."""
