"""What stands between whatever wants the arm to move and the arm."""
