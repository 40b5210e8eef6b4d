"""What mlx takes, how it is started."""
