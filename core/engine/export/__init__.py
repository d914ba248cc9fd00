"""Writing a model in the formats of `core.catalogue.exportable`, each compared with the model before it counts."""
