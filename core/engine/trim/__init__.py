"""A smaller vocabulary: which tokens are needed, the tokenizer without the others, and the matrices cut to match."""
