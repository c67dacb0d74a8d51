"""What every setting is made of: tables that know where they stand, secrets, periods."""
