"""The whole way on scikit-learn's digits: train, certify, compare, draw."""
