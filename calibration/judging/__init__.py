"""What is held against data and maps before they ship, and afterwards: logs, fitted maps, drift."""
