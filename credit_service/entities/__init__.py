"""The subject (信用主体) and its rendered profile."""
