"""`vigie demo`: a simulated plant on the real pipeline, and a witness who only believes the broker."""
