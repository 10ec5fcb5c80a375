"""Collections: named sets of documents, and the generations they are searched by."""
