"""Search: query embedding, candidates, reranking, results."""
