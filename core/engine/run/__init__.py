"""What ties the engine together for a run: session, sweep, steps, budget, sensitivity."""
