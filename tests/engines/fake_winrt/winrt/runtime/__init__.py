from enum import IntEnum


class ApartmentType(IntEnum):
    SINGLE_THREADED = 0
    MULTI_THREADED = 1


def init_apartment(apartment_type: ApartmentType, /) -> None:
    raise OSError("[WinError -2147417850] Cannot change thread mode after it is set")
