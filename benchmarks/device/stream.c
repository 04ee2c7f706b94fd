/* Harness of a device that decides jobs as they arrive. */
#include "stream.h"
#include "harness.h"
