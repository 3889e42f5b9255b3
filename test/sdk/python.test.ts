import { describeMatrix } from './matrix.ts';
import { PYTHON } from './toolchains.ts';

describeMatrix(PYTHON);
