"""Array expressions that run as one piece: what stands behind their sites in rewritten code."""
