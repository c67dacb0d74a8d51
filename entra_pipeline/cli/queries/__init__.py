"""Commands that read what is stored: recovery points, differences, SQL, reports, the catalogue."""
