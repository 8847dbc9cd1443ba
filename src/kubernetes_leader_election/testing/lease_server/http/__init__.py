"""Requests and answers: connections, what is asked, what is logged."""
