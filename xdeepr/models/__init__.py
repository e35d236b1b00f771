"""What a model is: card, network, conditions, and the folder it is kept in."""
