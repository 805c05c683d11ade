// The program `pangu-draw`: everything is in app/.
#include "app/cli.h"

int main(int argc, char** argv) { return pangu::app::run_cli(argc, argv); }
