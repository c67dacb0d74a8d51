"""Pages that show what is stored: recovery points, objects, differences, SQL, reports."""
