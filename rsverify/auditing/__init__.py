"""The auditor: any bound to a verdict, with the error of that verdict."""
