"""Sources: the attached relations of collections, and whether their index is true to them."""
